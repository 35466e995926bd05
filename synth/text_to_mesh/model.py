"""Text-to-mesh (paper 000, sec. D, fig. 7): MMHMR's masked transformer with text tokens in place of the image.

Small heads beside it read side, shape and placement from the text, as distributions that are sampled, so that a text
gives complete hands before a camera, and different ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from recon.mmhmr.sampling import Callback, SampledTokens, SamplingConfig, sample
from recon.mmhmr.transformer import MaskedSynthesizer, TokenContext, TokenCrossAttention
from synth.text_to_mesh.placement import NUMBERS, sensible

BETAS = 10
QUESTIONS = 4
WORDS_GAIN = 6.0
BOUND = 2.5
"""Sampled shapes and placements stay within so many standard deviations."""

Generators = torch.Generator | Sequence[torch.Generator] | None


@dataclass(frozen=True)
class TextStates:
    """A text encoder's output."""

    hidden: Float[Tensor, "b n w"]
    words: Float[Tensor, "b w"]
    """Mean of the embeddings of the words, before any attention."""
    absent: Bool[Tensor, "b n"]
    """True after a text's end."""
    blank: Bool[Tensor, " b"]
    """True for a text that says nothing: empty, or of unknown words only."""


@dataclass(frozen=True)
class HandDistributions:
    """What a text says of a hand besides its pose."""

    side_logit: Float[Tensor, " b"]
    """Of the probability of a right hand."""
    mean: Float[Tensor, "b 14"]
    """Of the shape [10] and the placement [4]."""
    log_deviation: Float[Tensor, "b 14"]


class TextToMesh(ModelMixin, ConfigMixin):
    """Distribution of hands given a text.

    Args:
        num_tokens: pose tokens L of the tokenizer.
        codebook_size: its codes K.
        code_dim: their width.
        text_width: width of the text encoder's hidden states.
        dim: width of the transformer.
        layers: synthesizer layers.
        graph_blocks: GGPM blocks.
        heads: attention heads.
        dropout: in training.
        hand_fingerprint: the hand it was trained on.
        tokenizer_fingerprint: the VQ-MANO it was trained on; its tokens mean nothing to another one.
    """

    @register_to_config
    def __init__(
        self,
        num_tokens: int = 64,
        codebook_size: int = 2048,
        code_dim: int = 256,
        text_width: int = 128,
        dim: int = 128,
        layers: int = 4,
        graph_blocks: int = 2,
        heads: int = 4,
        dropout: float = 0.0,
        hand_fingerprint: str = "",
        tokenizer_fingerprint: str = "",
    ) -> None:
        super().__init__()
        self.text_in = nn.Sequential(nn.Linear(text_width, dim), nn.GELU(), nn.Linear(dim, dim), nn.LayerNorm(dim))
        self.words_in = nn.Sequential(
            nn.Linear(text_width, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim), nn.LayerNorm(dim)
        )
        self.no_text = nn.Parameter(torch.randn(dim))
        self.side_in = nn.Embedding(2, dim)
        self.questions = nn.Parameter(torch.randn(QUESTIONS, dim))
        self.ask = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.answer = nn.Sequential(nn.Linear((QUESTIONS + 2) * dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.synthesizer = MaskedSynthesizer(
            torch.zeros(codebook_size, code_dim),
            num_tokens,
            lambda: TokenCrossAttention(dim, heads, dropout),
            dim=dim,
            layers=layers,
            graph_blocks=graph_blocks,
            heads=heads,
            dropout=dropout,
        )
        self.hand_head = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, 1 + 2 * (BETAS + NUMBERS)))

    @classmethod
    def from_pretrained(cls, path: str | Path, **options: Any) -> TextToMesh:  # type: ignore[override]
        """Load a trained model, in single precision, ready to sample."""
        options = {"torch_dtype": torch.float32, "use_safetensors": True, **options}
        return super().from_pretrained(str(path), **options).eval()

    def read(self, text: TextStates, dropped: Bool[Tensor, " b"] | None = None) -> TokenContext:
        """The text as the model sees it; blank and `dropped` ones become the learned "no text" (for guidance).

        The place of the start token, which says nothing in a causal encoder, holds the words as a bag: what a hand
        does is mostly a matter of which words are there, and a bag is learned in a tenth of the steps.
        """
        nothing = text.blank if dropped is None else text.blank | dropped
        first = torch.zeros_like(text.absent)
        first[:, 0] = True
        bag = self.words_in(WORDS_GAIN * text.words)[:, None]
        hidden = torch.cat((bag, self.text_in(text.hidden[:, 1:])), 1)  # [b, n, d]
        hidden = torch.where((nothing[:, None] & first)[..., None], self.no_text, hidden)
        return TokenContext(hidden, torch.where(nothing[:, None], ~first, text.absent))

    def summary(self, read: TokenContext, is_right: Bool[Tensor, " b"]) -> Float[Tensor, "b d"]:
        """Text and side in one vector: the answers to some learned questions."""
        questions = self.questions.expand(len(read.hidden), -1, -1)
        answers = self.ask(questions, read.hidden, read.hidden, key_padding_mask=read.absent, need_weights=False)[0]
        return self.answer(torch.cat((answers.flatten(1), read.hidden[:, 0], self.side_in(is_right.long())), -1))

    def hands(self, read: TokenContext) -> HandDistributions:
        """Side, shape and placement from the bag of words."""
        pooled = read.hidden[:, 0]
        side = self.hand_head(pooled).float()[:, 0]
        # Texts say little of shape and placement: their gradients are noise that would drown what the text learns.
        mean, log_deviation = self.hand_head(pooled.detach()).float()[:, 1:].chunk(2, -1)
        return HandDistributions(side, mean, log_deviation.clamp(-6.0, 2.0))

    def forward(
        self, tokens: Int64[Tensor, "b l"], read: TokenContext, is_right: Bool[Tensor, " b"]
    ) -> Float[Tensor, "b l k"]:
        """Logits of the pose tokens; the side joins the text, for the tokens are those of the right-hand form."""
        side = self.side_in(is_right.long())[:, None]  # [b, 1, d]
        present = torch.zeros_like(read.absent[:, :1])
        context = TokenContext(torch.cat((side, read.hidden), 1), torch.cat((present, read.absent), 1))
        return self.synthesizer(tokens, context, summary=self.summary(read, is_right))

    @torch.no_grad()
    def sample_tokens(
        self,
        text: TextStates,
        is_right: Bool[Tensor, " b"],
        config: SamplingConfig,
        guidance_scale: float = 1.0,
        generator: Generators = None,
        callback: Callback | None = None,
    ) -> SampledTokens:
        """Confidence-guided sampling, with classifier-free guidance on the log probabilities if the scale is not 1."""
        batch = len(text.hidden)
        with_text = self.read(text)
        without = self.read(text, torch.ones(batch, dtype=torch.bool, device=text.hidden.device))

        def denoise(tokens: Int64[Tensor, "b l"]) -> Float[Tensor, "b l k"]:
            logits = self(tokens, with_text, is_right)
            if guidance_scale == 1.0:
                return logits
            base = self(tokens, without, is_right)
            return base.log_softmax(-1).lerp(logits.log_softmax(-1), guidance_scale)

        synthesizer = self.synthesizer
        return sample(
            denoise, batch, synthesizer.num_tokens, synthesizer.mask_id, config, generator, text.hidden.device, callback
        )

    @torch.no_grad()
    def sample_hands(
        self, text: TextStates, generator: Generators = None
    ) -> tuple[Bool[Tensor, " b"], Float[Tensor, "b 10"], Float[Tensor, "b 4"]]:
        """Draw sides (True is right), shapes and placements."""
        found = self.hands(self.read(text))
        is_right = _draw(found.side_logit[:, None], generator, normal=False)[:, 0] < found.side_logit.sigmoid()
        noise = _draw(found.mean, generator, normal=True).clamp(-BOUND, BOUND)
        drawn = found.mean + found.log_deviation.exp() * noise
        return is_right, drawn[:, :BETAS], sensible(drawn[:, BETAS:])


def _draw(like: Float[Tensor, "b n"], generator: Generators, normal: bool) -> Float[Tensor, "b n"]:
    draw = torch.randn if normal else torch.rand
    if isinstance(generator, Sequence):
        return torch.stack([draw(like.shape[1:], generator=one, device=one.device) for one in generator]).to(like)
    return draw(like.shape, generator=generator, device=generator.device if generator else like.device).to(like)
