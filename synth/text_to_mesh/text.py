"""Texts as text-to-mesh reads them: the hidden states of any CLIP text model, HandCLIP's by default."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from jaxtyping import Int64
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from synth.text_to_mesh.model import TextStates

logger = logging.getLogger(__name__)


def text_states(encoder: CLIPTextModel, tokens: Int64[Tensor, "b n"], end: int) -> TextStates:
    """Hidden states of token numbers; what follows the first `end` is absent (attention is causal, so cut off)."""
    ends = (tokens == end).int().argmax(-1)
    length = int(ends.max()) + 1
    hidden = encoder(input_ids=tokens[:, :length]).last_hidden_state
    places = torch.arange(length, device=tokens.device)
    embedding = encoder.get_input_embeddings()
    known = (embedding.weight.detach() != 0).any(-1)[tokens[:, :length]]
    inside = (places > 0) & (places < ends[:, None])
    share = inside / inside.sum(-1, keepdim=True).clamp_min(1)  # [b, n]
    words = (share[:, None] @ embedding(tokens[:, :length]).float())[:, 0]
    return TextStates(hidden.float(), words, places > ends[:, None], ~(known & inside).any(-1))


@torch.no_grad()
def encode_texts(encoder: CLIPTextModel, tokenizer: CLIPTokenizer, texts: Sequence[str]) -> TextStates:
    """Hidden states of texts; what does not fit into the encoder's context is cut off, with a warning."""
    room = tokenizer.model_max_length
    lengths = [len(ids) for ids in tokenizer(list(texts), truncation=False, verbose=False).input_ids]
    for text, length in zip(texts, lengths, strict=True):
        if length > room:
            logger.warning(
                "The text %r has %d tokens; the text model reads the first %d.", text[:40] + "...", length, room
            )
    tokens = tokenizer(
        list(texts), padding="max_length", max_length=room, truncation=True, return_tensors="pt"
    ).input_ids
    return text_states(encoder, tokens.to(encoder.device), tokenizer.eos_token_id)
