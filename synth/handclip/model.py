"""HandCLIP: a small open_clip model of hand pictures and their captions (DESIGN section 6, ours).

One model serves four places: the text condition of text-to-mesh and of the small diffusion model, a text-image
score, and the features of FID-H where Inception's weights are not at hand.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from open_clip.model import CustomTextCLIP
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel

from recon.files import FileError, open_json
from synth.handclip.tokenizer import CONTEXT_LENGTH, END, START, VOCABULARY, tokenize

WEIGHTS = Path(__file__).parent / "weights"
WORD_DEVIATION, PLACE_DEVIATION = 0.5, 0.05
"""Of the numbers that a word's and a place's embedding start with."""
IMAGE_BATCH = 8
"""Pictures that are encoded at once, always: so a picture's features do not depend on its company."""


class TextFeatures(NamedTuple):
    """What HandCLIP makes of texts."""

    hidden: Float[Tensor, "b n w"]
    """One vector per token, after the last norm: what conditions the generators."""
    pooled: Float[Tensor, "b d"]
    """One vector per text, in the space shared with pictures; not normalised."""


@dataclass(frozen=True)
class HandClipConfig:
    """Sizes of the two towers.

    Attributes:
        embed_dim: dimension of the shared space.
        text_width: channels of the text tower.
        text_layers: its transformer layers.
        text_heads: its attention heads.
        image_size: pixels of the (square) picture the image tower sees.
        image_width: channels of its stem; its ResNet ends 32 times as wide.
        image_layers: blocks of its four stages.
    """

    embed_dim: int = 128
    text_width: int = 128
    text_layers: int = 4
    text_heads: int = 4
    image_size: int = 96
    image_width: int = 16
    image_layers: tuple[int, int, int, int] = (1, 1, 1, 1)


class HandClip(nn.Module):
    """Pictures and texts of hands in one space."""

    def __init__(self, config: HandClipConfig | None = None) -> None:
        """Random weights; `from_pretrained` for the trained ones."""
        super().__init__()
        self.config = config = config or HandClipConfig()
        vision = {
            "layers": tuple(config.image_layers),
            "width": config.image_width,
            "image_size": config.image_size,
            "head_width": 4 * config.image_width,
        }
        text = {
            "context_length": CONTEXT_LENGTH,
            "vocab_size": VOCABULARY,
            "width": config.text_width,
            "heads": config.text_heads,
            "layers": config.text_layers,
        }
        self.clip = CustomTextCLIP(config.embed_dim, vision, text)
        self._separate_words()
        self.eval()

    def _separate_words(self) -> None:
        """Let words differ by more than their places do, from the start.

        CLIP starts its embeddings as small as 0.02: on few captions all texts then stay nearly the same one.
        The end of a text, whose vector stands for the whole, starts small and so is what it attends to.
        """
        embedding, position = self.clip.text.token_embedding, self.clip.text.positional_embedding
        nn.init.normal_(embedding.weight, std=WORD_DEVIATION)
        nn.init.normal_(position, std=PLACE_DEVIATION)
        with torch.no_grad():
            embedding.weight[[START, END]] *= PLACE_DEVIATION

    @classmethod
    def from_pretrained(cls, path: str | Path | None = None) -> HandClip:
        """The model in a folder of `save_pretrained`; the shipped one by default.

        Raises:
            FileError: no such model.
        """
        folder = Path(path or WEIGHTS)
        if not (folder / "model.safetensors").is_file():
            raise FileError(f"{folder} holds no HandCLIP; train one with `handloom train configs/synth/handclip.yaml`.")
        fields = open_json(folder / "config.json")
        model = cls(HandClipConfig(**{**fields, "image_layers": tuple(fields["image_layers"])}))
        state = {name: value.float() for name, value in load_file(folder / "model.safetensors").items()}
        model.clip.load_state_dict(state, strict=False)
        missing = set(model.clip.state_dict()) - set(state) - {"visual.attnpool.positional_embedding"}
        missing = {name for name in missing if not name.endswith("num_batches_tracked")}
        if missing:
            raise FileError(
                f"{folder / 'model.safetensors'} lacks {sorted(missing)[0]!r} and is no HandCLIP of its config."
            )
        return model.eval()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `config.json` and `model.safetensors` in half precision."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(asdict(self.config), indent=1) + "\n")
        state = {name: v.half().contiguous() for name, v in self.clip.state_dict().items() if v.is_floating_point()}
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.clip.logit_scale.device

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> TextFeatures:
        """Hidden states [B,64,128] and pooled features [B,128] of texts."""
        return self.text_features(tokenize(texts).to(self.device))

    @torch.no_grad()
    def encode_image(self, images: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b d"]:
        """Features of RGB pictures of any size; not normalised, the same bits for a picture in any batch."""
        features = []
        for part in images.split(IMAGE_BATCH):
            pixels = functional.pad(part, (0, 0, 0, 0, 0, 0, 0, IMAGE_BATCH - len(part)))
            features.append(self.image_features(self.preprocess(pixels.to(self.device)))[: len(part)])
        return torch.cat(features) if features else torch.zeros(0, self.config.embed_dim)

    def preprocess(self, images: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b 3 s s"]:
        """Pictures as the image tower sees them: its size, antialiased, in -1..1."""
        pixels = images.permute(0, 3, 1, 2).float()
        size = (self.config.image_size,) * 2
        if pixels.shape[-2:] != size:
            pixels = functional.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)
        return pixels / 127.5 - 1

    def image_features(self, pixels: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b d"]:
        """Features of preprocessed pictures, with gradients."""
        return self.clip.visual(pixels).float()

    def text_features(self, tokens: Int[Tensor, "b n"], keep: Float[Tensor, "b n"] | None = None) -> TextFeatures:
        """Features of token numbers, with gradients.

        Args:
            tokens: as `tokenize` gives them, or their first columns (attention is causal).
            keep: 0 where a word is to be unknown (its embedding is zero, as that of a word never seen), else 1.
        """
        text = self.clip.text
        hidden = text.ln_final(self._before_norm(tokens, keep)).float()
        ends = (tokens == END).int().argmax(-1)
        pooled = hidden[torch.arange(len(tokens), device=tokens.device), ends] @ text.text_projection
        return TextFeatures(hidden, pooled.float())

    def _before_norm(self, tokens: Int[Tensor, "b n"], keep: Float[Tensor, "b n"] | None = None) -> Tensor:
        """The text tower's vectors [b,n,w] before its last norm; arguments as of `text_features`."""
        text, length = self.clip.text, tokens.shape[1]
        embedded = text.token_embedding(tokens)
        if keep is not None:
            embedded = embedded * keep[..., None]
        return text.transformer(
            embedded + text.positional_embedding[:length], attn_mask=text.attn_mask[:length, :length]
        )

    @torch.no_grad()
    def score(self, texts: Sequence[str], images: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b"]:
        """Cosine of each text with its picture, -1..1."""
        return functional.cosine_similarity(self.encode_text(texts).pooled, self.encode_image(images))

    @torch.no_grad()
    def forget(self, seen: Tensor) -> None:
        """Zero the embeddings of all tokens but the `seen` numbers: an unknown word says nothing, rather than noise."""
        unseen = torch.ones(VOCABULARY, dtype=torch.bool)
        unseen[seen] = False
        self.clip.text.token_embedding.weight[unseen.to(self.device)] = 0

    @torch.no_grad()
    def spread_words(self, tokens: Int[Tensor, "b n"]) -> None:
        """Take out what the vectors of all words have in common before the last norm.

        In training that common part grows to several times their differences, and the norm then leaves of each word
        a fifth. The last layer's bias absorbs it, so the tower stays an ordinary one. What reads the tower (the
        projection of texts, a painter) is to be trained after this.

        Args:
            tokens: of captions, the more the better.
        """
        words = self._before_norm(tokens)[(tokens != START) & (tokens != END)]
        self.clip.text.transformer.resblocks[-1].mlp.c_proj.bias -= words.mean(0)

    def clip_text_model(self) -> CLIPTextModel:
        """The text tower as a transformers class; its `last_hidden_state` is `TextFeatures.hidden`."""
        config = self.config
        model = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=VOCABULARY,
                hidden_size=config.text_width,
                intermediate_size=4 * config.text_width,
                projection_dim=config.embed_dim,
                num_hidden_layers=config.text_layers,
                num_attention_heads=config.text_heads,
                max_position_embeddings=CONTEXT_LENGTH,
                hidden_act="gelu",
                bos_token_id=START,
                eos_token_id=END,
                pad_token_id=END,
            )
        )
        model.load_state_dict(transformers_state(self.clip.text.state_dict()))
        return model.eval()


def transformers_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """open_clip's text tower in the names of transformers' `CLIPTextModel`."""
    names = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    result = {
        "embeddings.token_embedding.weight": state["token_embedding.weight"],
        "embeddings.position_embedding.weight": state["positional_embedding"],
    }
    for name, value in state.items():
        if name.startswith("ln_final."):
            result[name.replace("ln_final", "final_layer_norm")] = value
        if not name.startswith("transformer.resblocks."):
            continue
        layer, rest = name.removeprefix("transformer.resblocks.").split(".", 1)
        prefix = f"encoder.layers.{layer}"
        if rest.startswith("attn.in_proj_"):
            for part, piece in zip("qkv", value.chunk(3), strict=True):
                result[f"{prefix}.self_attn.{part}_proj.{rest.removeprefix('attn.in_proj_')}"] = piece
        elif rest.startswith("attn."):
            result[f"{prefix}.self_{rest}"] = value
        else:
            old = next(old for old in names if rest.startswith(old))
            result[f"{prefix}.{rest.replace(old, names[old])}"] = value
    return result
