"""Training of text-to-mesh (paper 000, sec. 3.3, D): masked tokens, expected rotations and joints, sides and shapes."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Subset

from eval.text_to_mesh import nearest_class
from recon.hand.model import HandModel, HandParams
from recon.mmhmr.masking import masked_loss, random_mask
from recon.mmhmr.sampling import SamplingConfig
from recon.mmhmr.task import rotations
from recon.mmhmr.tokenizer import VQMano
from recon.training import Batch, TrainingTask, Validation
from synth.handclip.model import HandClip
from synth.handclip.tokenizer import END, START, clip_tokenizer
from synth.text_to_mesh.model import HandDistributions, TextToMesh
from synth.text_to_mesh.scenes import SceneTexts
from synth.text_to_mesh.text import encode_texts, text_states
from synth.world.poses import POSES


@dataclass(frozen=True)
class TextToMeshLoss:
    """Weights of the loss: paper 000, B, but for `heads` (ours), which covers side, shape and placement."""

    mask: float = 1.0
    theta: float = 1e-3
    joints: float = 5e-2
    heads: float = 0.1
    smoothing: float = 0.0


class TextToMeshTask(TrainingTask):
    """Text-to-mesh with the world's captions.

    Args:
        scenes: hands with captions to learn from.
        held_out: hands with captions to measure on.
        handclip: folder of a HandCLIP, whose text tower is the text encoder; "" is the shipped one.
        train_text: train the text encoder along, instead of keeping it as it is.
        tokenizer: folder of a trained VQ-MANO; "" is the shipped one.
        dim: width of the transformer.
        layers: synthesizer layers.
        graph_blocks: GGPM blocks.
        heads: attention heads.
        dropout: in attention and MLPs.
        drop_text: share of captions that are hidden altogether (for classifier-free guidance).
        drop_words: share of words that are made unknown (for words that no caption holds).
        mesh_every: the losses on rotations and joints see every n-th hand of a batch.
        start: folder of an earlier text-to-mesh model to start from; "" starts from nothing.
        loss: weights.
        validation_hands: held-out captions per validation.
    """

    def __init__(
        self,
        scenes: SceneTexts,
        held_out: SceneTexts,
        handclip: str = "",
        train_text: bool = False,
        tokenizer: str = "",
        dim: int = 128,
        layers: int = 4,
        graph_blocks: int = 2,
        heads: int = 4,
        dropout: float = 0.0,
        drop_text: float = 0.1,
        drop_words: float = 0.1,
        mesh_every: int = 4,
        start: str = "",
        loss: TextToMeshLoss | None = None,
        validation_hands: int = 500,
    ) -> None:
        super().__init__()
        self.hand = HandModel.default().requires_grad_(False)
        self.vq_mano = VQMano.from_pretrained(tokenizer or None, hand=self.hand).requires_grad_(False)
        clip = HandClip.from_pretrained(handclip or None)
        self.text_encoder = clip.clip_text_model().requires_grad_(train_text)
        self.text_tokenizer = clip_tokenizer()
        self.unknown = _unknown_token(clip)
        self.scenes, self.held_out, self.weights = scenes, held_out, loss or TextToMeshLoss()
        self.drop_text, self.drop_words, self.mesh_every = drop_text, drop_words, mesh_every
        self.validation_hands = validation_hands
        sizes = self.vq_mano.config
        self.model = TextToMesh(
            num_tokens=sizes.num_tokens,
            codebook_size=sizes.codebook_size,
            code_dim=sizes.code_dim,
            text_width=clip.config.text_width,
            dim=dim,
            layers=layers,
            graph_blocks=graph_blocks,
            heads=heads,
            dropout=dropout,
            hand_fingerprint=self.hand.fingerprint,
            tokenizer_fingerprint=self.vq_mano.fingerprint(),
        )
        if start:
            self.model.load_state_dict(TextToMesh.from_pretrained(Path(start) / "text_to_mesh").state_dict())
        self.model.synthesizer.codes.copy_(self.vq_mano.codebook.embedding)

    def train(self, mode: bool = True) -> TextToMeshTask:
        """Training mode for the model alone: what is frozen stays in evaluation mode."""
        super().train(mode)
        self.vq_mano.eval()
        self.text_encoder.eval()
        return self

    def dataset(self) -> Dataset:
        """Captions with their hands."""
        return self.scenes

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        """L_mask + L_MANO + L_3D, and the likelihood of side, shape and placement."""
        theta = rotations(batch)
        with torch.no_grad():
            tokens = self.vq_mano.encode(theta)
        text = text_states(self.text_encoder, self._forgetful(batch["text"]), END)
        dropped = torch.rand(len(theta), device=theta.device) < self.drop_text
        read = self.model.read(text, dropped)
        mask = random_mask(len(tokens), tokens.shape[1], device=theta.device)
        logits = self.model(tokens.masked_fill(mask, self.model.synthesizer.mask_id), read, batch["is_right"])
        loss_mask = masked_loss(logits, tokens, mask, self.weights.smoothing)
        some = slice(None, None, self.mesh_every)
        loss_theta, loss_joints = self._expected(
            logits[some].float(), tokens[some], mask[some], theta[some], batch["betas"][some]
        )
        loss_side, loss_shape = hand_losses(self.model.hands(read), batch)
        weights = self.weights
        loss = weights.mask * loss_mask + weights.theta * loss_theta + weights.joints * loss_joints
        loss = loss + weights.heads * (loss_side + loss_shape)
        logs: dict[str, Tensor | float] = {
            "mask": loss_mask,
            "theta": loss_theta,
            "joints_mm": 1000 * loss_joints,
            "side": loss_side,
            "shape": loss_shape,
        }
        return loss, logs

    def _forgetful(self, text: Int64[Tensor, "b n"]) -> Int64[Tensor, "b n"]:
        """Captions some words of which are unknown, so that a strange word in a prompt is nothing new."""
        gone = torch.rand(text.shape, device=text.device) < self.drop_words
        return text.masked_fill(gone & (text != START) & (text != END), self.unknown)

    def _expected(
        self, logits: Tensor, tokens: Tensor, mask: Tensor, theta: Tensor, betas: Tensor
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Expectation-approximated differential sampling: errors of the hand that the mean codes decode to."""
        codes = torch.where(
            mask[..., None], self.vq_mano.expected_codes(logits), self.vq_mano.codebook.embedding[tokens]
        )
        decoded = self.vq_mano.decode_codes(codes)
        joints, true_joints = (
            self.hand(HandParams(betas=betas, global_orient=turned[:, :1], hand_pose=turned[:, 1:])).joints
            for turned in (decoded, theta)
        )
        return functional.l1_loss(decoded, theta), (joints - true_joints).norm(dim=-1).mean()

    def validate(self) -> Validation:
        """Losses on held-out captions, and the share of named poses that a sampled hand is nearest to."""
        count = min(self.validation_hands, len(self.held_out))
        every = len(self.held_out) // count
        chosen = Subset(self.held_out, range(0, every * count, every))
        sums: dict[str, float] = {}
        for batch in DataLoader(chosen, batch_size=50, generator=torch.Generator()):
            _, logs = self.training_step({name: value.to(self.model.device) for name, value in batch.items()})
            for name, value in logs.items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(batch["text"]) / count
        sums["right_class"] = self.class_rate()
        return Validation(sums)

    def class_rate(self) -> float:
        """One sample of each letter's and gesture's plainest wording: the share nearest to the asked hand shape."""
        asked = [pose for pose in POSES.values() if pose.kind in ("letter", "gesture")]
        states = encode_texts(self.text_encoder, self.text_tokenizer, [pose.words[0] for pose in asked])
        is_right = torch.ones(len(asked), dtype=torch.bool, device=self.model.device)
        config = SamplingConfig(num_steps=8, top_fraction=0.05)
        drawn = self.vq_mano.decode_tokens(self.model.sample_tokens(states, is_right, config, 2.0).tokens)
        shapes = list(dict.fromkeys(pose.shape for pose in POSES.values()))
        first = {pose.shape: pose for pose in reversed(POSES.values())}
        library = np.stack([first[shape].hand_pose_rotvec for shape in shapes])
        meant = HandParams.from_rotvec(
            torch.zeros(len(shapes), 10), torch.zeros(len(shapes), 3), torch.from_numpy(library).float()
        )
        nearest = nearest_class(self._fingers(drawn[:, 1:]), self._fingers(meant.hand_pose.to(drawn)))
        return float(np.mean([shapes[n] == pose.shape for n, pose in zip(nearest, asked, strict=True)]))

    def _fingers(self, hand_pose: Float[Tensor, "b 15 3 3"]) -> Float[np.ndarray, "b 21 3"]:
        upright = torch.eye(3, device=hand_pose.device).expand(len(hand_pose), 1, 3, 3)
        betas = torch.zeros(len(hand_pose), 10, device=hand_pose.device)
        joints = self.hand(HandParams(betas=betas, global_orient=upright, hand_pose=hand_pose)).joints
        return joints.cpu().numpy().astype(np.float64)

    def save_pretrained(self, folder: Path) -> None:
        """Write the model with the text encoder it reads by, in half precision; VQ-MANO is shipped apart."""
        save_components(folder, self.model, self.text_encoder, self.text_tokenizer)


def hand_losses(found: HandDistributions, batch: Batch) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Negative log-likelihoods of the side, and of shape and placement (mean per number)."""
    side = functional.binary_cross_entropy_with_logits(found.side_logit, batch["is_right"].float())
    truth = torch.cat((batch["betas"], batch["placement"]), -1)
    variance = (2 * found.log_deviation).exp()
    return side, functional.gaussian_nll_loss(found.mean, truth, variance, full=True)


def save_components(folder: Path, model: TextToMesh, text_encoder: Any, text_tokenizer: Any) -> None:
    """Write `text_to_mesh/`, `text_encoder/` and `tokenizer/`, weights in half precision."""
    for name, module in (("text_to_mesh", model), ("text_encoder", text_encoder)):
        copy.deepcopy(module).half().save_pretrained(folder / name)
    text_tokenizer.save_pretrained(folder / "tokenizer")


def _unknown_token(clip: HandClip) -> int:
    """A token that no caption held, hence with an embedding of zero; one that is hardly ever written, if all did."""
    size = clip.clip.text.token_embedding.weight.abs().sum(-1)
    return int(size[:START].argmin())
