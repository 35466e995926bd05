"""Masked modeling of pose tokens (paper 000, sec. 3.3): cosine masking and the masked-token loss."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional


def cosine_ratio(tau: float | Tensor) -> Tensor:
    """gamma(tau) = cos(pi tau / 2): the share of masked tokens."""
    return torch.cos(torch.as_tensor(tau) * math.pi / 2)


def random_mask(
    batch: int, length: int, tau_max: float = 1.0, device: torch.device | str = "cpu"
) -> Bool[Tensor, "b l"]:
    """Mask ceil(gamma(tau) L) random tokens of each row, tau ~ U(0, tau_max); at least one."""
    tau = tau_max * torch.rand(batch, 1, device=device)
    count = torch.ceil(cosine_ratio(tau) * length).clamp_min(1)
    rank = torch.rand(batch, length, device=device).argsort(-1).argsort(-1)
    return rank < count


def masked_loss(
    logits: Float[Tensor, "b l k"], tokens: Int64[Tensor, "b l"], mask: Bool[Tensor, "b l"], smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """Cross-entropy of the masked tokens, averaged over them."""
    return functional.cross_entropy(logits[mask], tokens[mask], label_smoothing=smoothing)
