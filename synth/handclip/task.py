"""Training of HandCLIP: pictures against captions, and both against the pose they show (DESIGN section 6, ours).

The contrastive loss is CLIP's; reading the pose off both features (ours) makes the text tower keep what the hand does,
which the few pictures of a small training set would teach it slowly.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from recon.training import Batch, TrainingTask, Validation
from synth.handclip.model import HandClip, HandClipConfig
from synth.handclip.tokenizer import END, tokenize
from synth.pictures import Pictures, open_pictures

POSE_SIZE = 45 + 9 + 1
SPREAD_OVER = 2000
"""Pictures whose longest captions say what all words have in common."""


class CaptionedPictures(Dataset[Batch]):
    """Items: a picture, all of its captions' tokens, and its pose."""

    def __init__(self, pictures: Pictures) -> None:
        """Tokenize every caption once."""
        self.pictures = pictures
        wordings = min(map(len, pictures.captions))
        texts = [text for captions in pictures.captions for text in captions[:wordings]]
        self.tokens = tokenize(texts).to(torch.int16).unflatten(0, (len(pictures), wordings))

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.pictures)

    def __getitem__(self, index: int) -> Batch:
        """Picture `index`."""
        pictures = self.pictures
        pose, orient = (torch.from_numpy(np.array(a[index])) for a in (pictures.hand_pose, pictures.global_orient))
        side = torch.tensor([1.0 if pictures.is_right[index] else -1.0])
        if side < 0:
            pose = (pose.unflatten(0, (15, 3)) * torch.tensor([1.0, -1.0, -1.0])).flatten()
        target = torch.cat((pose, roma.rotvec_to_rotmat(orient).flatten(), side))
        return {
            "image": torch.from_numpy(np.array(pictures.images[index])),
            "tokens": self.tokens[index],
            "pose": target,
        }


class HandClipTask(TrainingTask):
    """HandCLIP with its pictures and its loss.

    Args:
        data: data-set folders with pictures and captions.
        held_out: folders of the validation pictures.
        cache: where the pictures' arrays are kept.
        config: sizes of the model.
        size: side of the pictures in the cache.
        word_dropout: share of tokens made unknown.
        wordings: captions of a picture that a step takes: the text tower is the cheaper one.
        pose_weight: weight of reading the pose off the features.
        retrieval: held-out pictures among which a caption looks for its own.
        start: a trained HandCLIP: its words are spread, its text tower then stays as it is, and the image tower
            and the projections into the shared space are trained further.
    """

    def __init__(
        self,
        data: Sequence[Path],
        held_out: Sequence[Path],
        cache: Path,
        config: HandClipConfig | None = None,
        size: int = 128,
        word_dropout: float = 0.05,
        wordings: int = 2,
        pose_weight: float = 1.0,
        retrieval: int = 100,
        start: Path | None = None,
    ) -> None:
        super().__init__()
        self.train_set = CaptionedPictures(open_pictures(data, cache, size))
        self.held_out = CaptionedPictures(open_pictures(held_out, cache, size))
        self.word_dropout, self.wordings = word_dropout, wordings
        self.pose_weight, self.retrieval = pose_weight, retrieval
        self.model = HandClip(config) if start is None else self._spread(start)
        self.image_to_pose = nn.Linear(self.model.config.embed_dim, POSE_SIZE)
        self.text_to_pose = nn.Linear(self.model.config.embed_dim, POSE_SIZE)

    def _spread(self, start: Path) -> HandClip:
        """The HandCLIP of a folder with its words spread, and no gradients for what they are made by."""
        model = HandClip.from_pretrained(start)
        model.spread_words(self.train_set.tokens[:SPREAD_OVER, -1].long())
        model.clip.text.requires_grad_(False)
        model.clip.text.text_projection.requires_grad_(True)
        nn.init.normal_(model.clip.text.text_projection, std=model.config.text_width**-0.5)
        return model

    def dataset(self) -> Dataset[Batch]:
        """Pictures to learn from."""
        return self.train_set

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Contrast each picture with some of its wordings, and read the pose off both."""
        tokens = batch["tokens"].long()
        wordings = torch.rand(tokens.shape[:2], device=tokens.device).argsort(-1)[:, : self.wordings]
        tokens = tokens.gather(1, wordings[..., None].expand(-1, -1, tokens.shape[-1])).flatten(0, 1)
        tokens = tokens[:, : int((tokens != END).sum(-1).max()) + 1]
        keep = (torch.rand(tokens.shape, device=tokens.device) >= self.word_dropout).float()
        pixels = self.model.preprocess(batch["image"])
        image = self.model.image_features(varied(pixels))
        text = self.model.text_features(tokens, keep).pooled.unflatten(0, (len(image), -1))
        scale = self.model.clip.logit_scale.exp().clamp(max=100)
        contrasts = [contrastive_loss(image, wording, scale) for wording in text.unbind(1)]
        contrast, correct = (torch.stack(values).mean() for values in zip(*contrasts, strict=True))
        read_image = functional.smooth_l1_loss(self.image_to_pose(image), batch["pose"], beta=0.1)
        poses = batch["pose"][:, None].expand(-1, text.shape[1], -1)
        read_text = functional.smooth_l1_loss(self.text_to_pose(text), poses, beta=0.1)
        loss = contrast + self.pose_weight * (read_image + read_text)
        return loss, {"contrast": contrast, "right": correct, "pose_of_image": read_image, "pose_of_text": read_text}

    def validate(self) -> Validation:
        """Share of held-out captions that find their picture first among `retrieval` (and the other way round)."""
        count = min(len(self.held_out) // self.retrieval * self.retrieval, 10 * self.retrieval)
        items = [self.held_out[i] for i in range(count)]
        image = torch.cat([self.model.encode_image(item["image"][None]) for item in items])
        figures = {}
        for name, wording in (("short", 2), ("long", -1)):
            tokens = torch.stack([item["tokens"][wording] for item in items]).long().to(image.device)
            text = torch.cat([self.model.text_features(part).pooled for part in tokens.split(100)])
            found = [contrastive_loss(*pair, torch.tensor(1.0))[1] for pair in _groups(image, text, self.retrieval)]
            figures[f"recall_at_1_{name}_caption"] = float(torch.stack(found).mean())
            target = torch.stack([item["pose"] for item in items]).to(image.device)
            figures[f"pose_error_{name}_caption"] = float((self.text_to_pose(text) - target)[:, :45].abs().mean())
        return Validation(figures)

    def save_pretrained(self, folder: Path) -> None:
        """Write the model; words that no caption used become silent."""
        self.model.forget(self.train_set.tokens.long().unique())
        self.model.save_pretrained(folder)


def contrastive_loss(image: Float[Tensor, "b d"], text: Float[Tensor, "b d"], scale: Tensor) -> tuple[Tensor, Tensor]:
    """CLIP's symmetric cross-entropy, and the share of pictures and texts that find each other first."""
    logits = scale * functional.normalize(image, dim=-1) @ functional.normalize(text, dim=-1).T
    own = torch.arange(len(logits), device=logits.device)
    loss = (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2
    correct = ((logits.argmax(-1) == own).float().mean() + (logits.argmax(0) == own).float().mean()) / 2
    return loss, correct


def varied(pixels: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 3 s s"]:
    """Pictures moved by some pixels and with other exposure, so that features do not hang on either."""
    shift = max(1, pixels.shape[-1] // 16)
    x, y = torch.randint(-shift, shift + 1, (2,)).tolist()
    gain = 1 + 0.1 * torch.randn(len(pixels), 1, 1, 1, device=pixels.device)
    return torch.roll(pixels, (y, x), (-2, -1)) * gain


def _groups(image: Tensor, text: Tensor, size: int) -> zip[tuple[Tensor, Tensor]]:
    return zip(image.split(size), text.split(size), strict=True)
