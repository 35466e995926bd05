"""Confidence-guided sampling (paper 000, sec. 3.4, F, G): from all [MASK], keep the confident, re-mask the rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

Schedule = Literal["cosine", "linear", "square"]
Denoise = Callable[[Int64[Tensor, "b l"]], Float[Tensor, "b l k"]]
"""Logits of all codes for tokens some of which are [MASK]; the condition is bound in."""
Callback = Callable[[int, Int64[Tensor, "b l"]], None]
"""Called after each iteration with its number, from 0, and the tokens so far."""


@dataclass(frozen=True)
class SamplingConfig:
    """How tokens are drawn.

    Attributes:
        num_steps: iterations T.
        schedule: how the share of re-masked tokens falls.
        top_k: draw among the k most probable codes; 1 is the most probable, 0 switches it off.
        top_fraction: draw among this share of the codebook (0.05 is the paper's top-5 %); 1 switches it off.
        top_p: draw among the most probable codes that hold this probability together; 1 switches it off.
        temperature: of the distribution that is drawn from.
        choice_noise: Gumbel noise on the log confidences that decide what is kept, falling to 0 (diversity).
    """

    num_steps: int = 5
    schedule: Schedule = "cosine"
    top_k: int = 0
    top_fraction: float = 1.0
    top_p: float = 1.0
    temperature: float = 1.0
    choice_noise: float = 0.0

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        if self.num_steps < 1:
            raise ValueError(f"num_steps is {self.num_steps}; it must be at least 1.")
        for name in ("top_fraction", "top_p", "temperature"):
            if not 0 < getattr(self, name) <= (1 if name != "temperature" else math.inf):
                raise ValueError(
                    f"{name} is {getattr(self, name)}; it must be above 0 and (but for temperature) at most 1."
                )


@dataclass(frozen=True)
class SampledTokens:
    """Tokens and how sure the model was of each."""

    tokens: Int64[Tensor, "b l"]
    confidence: Float[Tensor, "b l"]
    """Probability of each token when it was fixed, under the full distribution."""
    masked_at: tuple[int, ...]
    """Masked tokens before each iteration (paper 000, fig. 9)."""
    mean_confidence_at: tuple[float, ...]
    """Mean confidence of all tokens after each iteration."""

    @property
    def hand_confidence(self) -> Float[Tensor, " b"]:
        """One number per hand: the mean of its tokens' confidences."""
        return self.confidence.mean(-1)


def share_left(done: float, schedule: Schedule) -> float:
    """Share of tokens masked after `done` of the iterations (0..1): 1 at 0, and 0 at 1."""
    return {"cosine": math.cos(math.pi * done / 2), "linear": 1 - done, "square": 1 - done**2}[schedule]


def filter_logits(logits: Float[Tensor, "b l k"], config: SamplingConfig) -> Float[Tensor, "b l k"]:
    """Logits with everything that may not be drawn at minus infinity."""
    codes = logits.shape[-1]
    allowed = min(config.top_k or codes, math.ceil(config.top_fraction * codes))
    if allowed < codes:
        least = logits.topk(allowed, -1).values[..., -1:]
        logits = logits.masked_fill(logits < least, -math.inf)
    if config.top_p < 1:
        ordered, order = logits.sort(-1, descending=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)  # the first code always stays
        cut = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, before >= config.top_p)
        logits = logits.masked_fill(cut, -math.inf)
    return logits


@torch.no_grad()
def sample(
    denoise: Denoise,
    batch: int,
    length: int,
    mask_id: int,
    config: SamplingConfig | None = None,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
    device: torch.device | str = "cpu",
    callback: Callback | None = None,
) -> SampledTokens:
    """Draw token sequences.

    Args:
        denoise: the model with its condition.
        batch: sequences.
        length: tokens of a sequence.
        mask_id: number of [MASK].
        config: how.
        generator: one for all, or one per sequence (each then is the same in any batch).
        device: of the tokens.
        callback: watches the iterations.
    """
    config = config or SamplingConfig()
    tokens = torch.full((batch, length), mask_id, device=device)
    confidence = torch.zeros(batch, length, device=device)
    masked = torch.ones(batch, length, dtype=torch.bool, device=device)
    counts, means = [], []
    for step in range(1, config.num_steps + 1):
        counts.append(int(masked[0].sum()))
        logits = denoise(tokens).float()
        probabilities = logits.softmax(-1)
        drawn = _draw(filter_logits(logits / config.temperature, config), generator)
        sure = probabilities.gather(-1, drawn[..., None])[..., 0]
        tokens = torch.where(masked, drawn, tokens)
        confidence = torch.where(masked, sure, confidence)
        means.append(float(confidence.mean()))
        left = math.ceil(share_left(step / config.num_steps, config.schedule) * length - 1e-6)
        masked = _least_confident(confidence, masked, left, config, step, generator)
        tokens = tokens.masked_fill(masked, mask_id)
        if callback:
            callback(step - 1, tokens)
    return SampledTokens(tokens, confidence, tuple(counts), tuple(means))


def _draw(
    logits: Float[Tensor, "b l k"], generator: torch.Generator | Sequence[torch.Generator] | None
) -> Int64[Tensor, "b l"]:
    """One code per place, by the Gumbel-max trick."""
    return (logits + _gumbel(logits.shape, generator, logits.device)).argmax(-1)


def _least_confident(
    confidence: Float[Tensor, "b l"],
    masked: Bool[Tensor, "b l"],
    left: int,
    config: SamplingConfig,
    step: int,
    generator: torch.Generator | Sequence[torch.Generator] | None,
) -> Bool[Tensor, "b l"]:
    """The `left` places to mask again, among those drawn just now; what was kept before stays."""
    score = confidence.clamp_min(1e-9).log()
    if config.choice_noise:
        fading = config.choice_noise * (1 - step / config.num_steps)
        score = score + fading * _gumbel(score.shape, generator, score.device)
    score = score.masked_fill(~masked, math.inf)
    chosen = torch.zeros_like(masked)
    return chosen.scatter(-1, score.argsort(-1)[:, :left], True)


def _gumbel(
    shape: torch.Size, generator: torch.Generator | Sequence[torch.Generator] | None, device: torch.device
) -> Tensor:
    if isinstance(generator, Sequence):
        uniform = torch.stack([torch.rand(shape[1:], generator=one, device=one.device) for one in generator])
    else:
        uniform = torch.rand(shape, generator=generator, device=generator.device if generator else device)
    return -(-uniform.clamp(1e-9, 1 - 1e-7).log()).log().to(device)
