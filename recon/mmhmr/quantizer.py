"""The codebook of VQ-MANO (paper 000, sec. 3.1): nearest code, straight-through gradient, moving averages, resets.

Own code and no library: with per-code sums by `index_add` a step costs a quarter of vector-quantize-pytorch's one-hot
products on a CPU, and the tokenizer's training is mostly this step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn


@dataclass(frozen=True)
class Quantized:
    """Result of a look-up in the codebook."""

    codes: Float[Tensor, "b l d"]
    """Nearest codes; gradients pass straight through to the latents."""
    tokens: Int64[Tensor, "b l"]
    """Indices of the codes."""
    commitment: Float[Tensor, ""]
    """Mean squared distance of the latents from their (constant) codes."""


class Codebook(nn.Module):
    """K codes of width D, learned by exponential moving averages of the latents that choose them.

    Args:
        size: number of codes K.
        dim: width D of a code.
        decay: of the moving averages.
        reset_every: steps between resets of dead codes.
        dead_below: a code whose average count of choices per step falls below this share of the mean count is dead.
    """

    embedding: Tensor
    counts: Tensor
    sums: Tensor
    step: Tensor

    def __init__(
        self, size: int, dim: int, decay: float = 0.98, reset_every: int = 10, dead_below: float = 0.1
    ) -> None:
        super().__init__()
        self.size, self.decay, self.reset_every, self.dead_below = size, decay, reset_every, dead_below
        embedding = torch.randn(size, dim) / dim**0.5
        self.register_buffer("embedding", embedding)
        self.register_buffer("counts", torch.ones(size))
        self.register_buffer("sums", embedding.clone())
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def nearest(self, latents: Float[Tensor, "*b d"]) -> Int64[Tensor, "*b"]:
        """Index of the code at the least Euclidean distance."""
        return (self.embedding.square().sum(-1) - 2 * latents @ self.embedding.T).argmin(-1)

    def forward(self, latents: Float[Tensor, "b l d"]) -> Quantized:
        """Quantize; in training mode also move the codes."""
        latents = latents.float()
        flat = latents.detach().flatten(0, 1)
        if self.training and self.step == 0:
            self.counts.fill_(len(flat) / self.size)
            self._reset(torch.ones_like(self.counts, dtype=torch.bool), flat)
        tokens = self.nearest(flat)
        codes = self.embedding[tokens].view_as(latents)
        if self.training:
            self._learn(flat, tokens)
        straight = latents + (codes - latents).detach()
        return Quantized(straight, tokens.view(latents.shape[:2]), (latents - codes).square().mean())

    @torch.no_grad()
    def _learn(self, latents: Float[Tensor, "n d"], tokens: Int64[Tensor, " n"]) -> None:
        counts = torch.bincount(tokens, minlength=self.size).to(latents)
        sums = torch.zeros_like(self.sums).index_add_(0, tokens, latents)
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(counts)
            torch.distributed.all_reduce(sums)
        self.counts.lerp_(counts, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        self.embedding.copy_(self.sums / self.counts.clamp_min(1e-6)[:, None])
        self.step += 1
        if self.step % self.reset_every == 0:
            self._reset(self.counts < self.dead_below * self.counts.mean(), latents)

    @torch.no_grad()
    def _reset(self, dead: Tensor, latents: Float[Tensor, "n d"]) -> None:
        """Put dead codes on random latents of the batch, with half the average count: they soon prove alive or dead."""
        chosen = latents[torch.randint(len(latents), (self.size,), device=latents.device)]
        if torch.distributed.is_initialized():
            torch.distributed.broadcast(chosen, 0)
        count = self.counts.mean() / 2
        self.embedding[dead] = chosen[dead]
        self.counts[dead] = count
        self.sums[dead] = chosen[dead] * count
