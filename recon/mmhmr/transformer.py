"""The masked graph transformer of MMHMR (paper 000, sec. 3.2.2, eq. 1-2, fig. 6): GGPM and [MASK] synthesizer.

What the tokens are conditioned on is a module apart: every synthesizer layer holds one cross-attention made by the
caller (text tokens in text-to-mesh, deformable attention over image maps in the estimator), and never looks inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

CrossAttentionFactory = Callable[[], nn.Module]
"""Makes a module `forward(queries [b,l,d], context) -> [b,l,d]`; the caller hands the context to the synthesizer."""


@dataclass(frozen=True)
class TokenContext:
    """A condition made of vectors, for `TokenCrossAttention`."""

    hidden: Float[Tensor, "b n d"]
    absent: Bool[Tensor, "b n"]
    """True where there is padding instead of a vector."""


class TokenCrossAttention(nn.Module):
    """Cross-attention to a sequence of vectors, such as a text's tokens.

    Args:
        dim: width of queries and context.
        heads: attention heads.
        dropout: of the attention weights.
    """

    def __init__(self, dim: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, heads, dropout, batch_first=True)

    def forward(self, queries: Float[Tensor, "b l d"], context: TokenContext) -> Float[Tensor, "b l d"]:
        """Attend."""
        return self.attention(
            queries, context.hidden, context.hidden, key_padding_mask=context.absent, need_weights=False
        )[0]


class SqueezeExcitation(nn.Module):
    """Channels weighed by what all nodes say together."""

    def __init__(self, dim: int, reduction: int = 4) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(dim, dim // reduction), nn.ReLU(), nn.Linear(dim // reduction, dim), nn.Sigmoid()
        )

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Weigh."""
        return x * self.gate(x.mean(1, keepdim=True))


class GraphBlock(nn.Module):
    """One block of graph-guided pose modeling: nodes mix along a learned adjacency, then eq. 1 and 2.

    Args:
        nodes: number of nodes, pose tokens and 2D pose tokens together.
        dim: their width.
        heads: attention heads.
        dropout: of the attention weights.
    """

    def __init__(self, nodes: int, dim: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.adjacency = nn.Parameter(torch.randn(nodes, nodes) * 0.02 + 2 * torch.eye(nodes))
        self.along_edges = nn.Linear(dim, dim)
        self.norm_in = nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, heads, dropout, batch_first=True)
        self.pointwise = nn.Conv1d(dim, dim, 1)
        self.norm_out = nn.LayerNorm(dim)
        self.excite = SqueezeExcitation(dim)

    def forward(self, queries: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Q_C -> Q_GGPM."""
        queries = queries + functional.gelu(self.adjacency.softmax(-1) @ self.along_edges(queries))
        normed = self.norm_in(queries)
        attended = self.attention(normed, normed, normed, need_weights=False)[0]
        convolved = self.pointwise(normed.transpose(1, 2)).transpose(1, 2)
        refined = attended + convolved + queries  # eq. 1
        return self.excite(self.norm_out(refined))  # eq. 2


class SynthesizerLayer(nn.Module):
    """Self-attention among the pose tokens, cross-attention to the condition, and an MLP, each before its norm."""

    def __init__(self, dim: int, heads: int, cross_attention: nn.Module, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm_self, self.norm_cross, self.norm_mlp = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.self_attention = nn.MultiheadAttention(dim, heads, dropout, batch_first=True)
        self.cross_attention = cross_attention
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * dim, dim))

    def forward(self, x: Float[Tensor, "b l d"], context: Any) -> Float[Tensor, "b l d"]:
        """One layer."""
        normed = self.norm_self(x)
        x = x + self.self_attention(normed, normed, normed, need_weights=False)[0]
        x = x + self.cross_attention(self.norm_cross(x), context)
        return x + self.mlp(self.norm_mlp(x))


class MaskedSynthesizer(nn.Module):
    """Distribution of every pose token given the unmasked ones and a condition: p(y_i | Y_masked, context).

    Tokens enter and are scored through the tokenizer's codes (a small network on each, plus a free vector per code),
    so that what is learned about one code serves its neighbours.

    Args:
        codes: the tokenizer's codebook [K,D], kept as it is.
        num_tokens: pose tokens L.
        cross_attention: makes each layer's cross-attention.
        dim: width.
        layers: synthesizer layers (the paper's 4).
        graph_blocks: GGPM blocks (the paper's 2).
        heads: attention heads.
        guides: guidance queries beside the pose tokens (21 for a 2D pose, 0 without).
        dropout: in attention and MLPs.
    """

    codes: Tensor

    def __init__(
        self,
        codes: Float[Tensor, "k c"],
        num_tokens: int,
        cross_attention: CrossAttentionFactory,
        dim: int = 192,
        layers: int = 4,
        graph_blocks: int = 2,
        heads: int = 4,
        guides: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_tokens, self.num_codes, self.guides = num_tokens, len(codes), guides
        self.register_buffer("codes", codes.detach().clone())
        self.code_in = _code_network(codes.shape[1], dim)
        self.code_in_free = nn.Parameter(0.02 * torch.randn(len(codes), dim))
        self.mask_token = nn.Parameter(0.02 * torch.randn(dim))
        self.place = nn.Parameter(0.5 * torch.randn(num_tokens, dim))
        self.graph = nn.Sequential(*(GraphBlock(num_tokens + guides, dim, heads, dropout) for _ in range(graph_blocks)))
        self.layers = nn.ModuleList(SynthesizerLayer(dim, heads, cross_attention(), dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.code_out = _code_network(codes.shape[1], dim)
        self.code_out_free = nn.Parameter(torch.zeros(len(codes), dim))
        self.to_query = nn.Linear(dim, dim)
        self.place_bias = nn.Parameter(torch.zeros(num_tokens, len(codes)))

    @property
    def mask_id(self) -> int:
        """The token number that stands for [MASK]: one past the codes."""
        return self.num_codes

    def forward(
        self,
        tokens: Int64[Tensor, "b l"],
        context: Any,
        guide: Float[Tensor, "b g d"] | None = None,
        summary: Float[Tensor, "b d"] | None = None,
    ) -> Float[Tensor, "b l k"]:
        """Logits of all codes at all places.

        Args:
            tokens: codes, or `mask_id`.
            context: whatever the cross-attentions take.
            guide: guidance queries, `guides` of them.
            summary: the condition in one vector, told to every pose token before the cross-attentions give details.
        """
        codes = functional.layer_norm(self.codes, self.codes.shape[1:])
        table = torch.cat((self.code_in(codes) + self.code_in_free, self.mask_token[None]))  # [k + 1, d]
        told = 0.0 if summary is None else summary[:, None]
        x = table[tokens] + self.place + told  # [b, l, d]
        if guide is not None:
            x = torch.cat((x, guide), 1)
        x = self.graph(x)[:, : self.num_tokens] + told
        for layer in self.layers:
            x = layer(x, context)
        keys = self.code_out(codes) + self.code_out_free  # [k, d]
        return self.to_query(self.norm(x)) @ keys.T / keys.shape[1] ** 0.5 + self.place_bias


def _code_network(code_dim: int, dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(code_dim, dim), nn.GELU(), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim))
