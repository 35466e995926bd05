"""HandCLIP's tokenizer: CLIP's byte-pair encoding cut to its first merges (DESIGN section 6, ours).

The merges of a BPE are ordered by frequency, so the cut one knows the common words whole and spells the rest.
The same file gives open_clip's `SimpleTokenizer` and transformers' `CLIPTokenizer` the same token numbers.
"""

from __future__ import annotations

import gzip
import importlib.resources
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import open_clip.tokenizer
import torch
from jaxtyping import Int
from torch import Tensor
from transformers import CLIPTokenizer

from recon.files import write_atomic

CONTEXT_LENGTH = 64
NUM_MERGES = 9726
VOCABULARY = 512 + NUM_MERGES + 2
START, END = VOCABULARY - 2, VOCABULARY - 1
"""Token numbers of the start and the end of a text; the end also pads."""


def cut_merges(source: Path, target: Path, count: int = NUM_MERGES) -> None:
    """Write the first `count` merges of CLIP's gzipped BPE file; the same bytes each time.

    Args:
        source: `bpe_simple_vocab_16e6.txt.gz`, as open_clip ships it.
        target: the file to write.
        count: merges to keep.
    """
    lines = gzip.decompress(source.read_bytes()).decode().split("\n")
    write_atomic(target, gzip.compress("\n".join(lines[: count + 1]).encode(), mtime=0))


def merges_file() -> Path:
    """The cut BPE file that ships with the package."""
    return Path(str(importlib.resources.files("synth.handclip") / "bpe_10k.txt.gz"))


@lru_cache(maxsize=1)
def simple_tokenizer() -> open_clip.tokenizer.SimpleTokenizer:
    """open_clip's tokenizer on the cut merges."""
    return open_clip.tokenizer.SimpleTokenizer(str(merges_file()), context_length=CONTEXT_LENGTH)


def tokenize(texts: Sequence[str]) -> Int[Tensor, "b 64"]:
    """Token numbers: start, text, end, and ends up to the context length; longer texts are cut."""
    tokens = simple_tokenizer()(list(texts))
    after_end = (tokens == END).cumsum(-1) > 0
    return torch.where(after_end, END, tokens)


def clip_tokenizer() -> CLIPTokenizer:
    """The same tokenizer as a transformers class, for Diffusers folders."""
    simple = simple_tokenizer()
    vocabulary = {
        ("<|startoftext|>", "<|endoftext|>")[i - START] if i >= START else t: i for t, i in simple.encoder.items()
    }
    merges = sorted(simple.bpe_ranks, key=simple.bpe_ranks.__getitem__)
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=CONTEXT_LENGTH)
