"""What of a prompt the text model takes in: words it has never seen say nothing, and long texts are cut.

A word is unknown when all of its tokens have embeddings of zero, as HandCLIP leaves those that its training never met.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SHOWN = 8  # examples in a warning


def known_tokens(embeddings: Float[Tensor, "vocabulary width"]) -> Bool[Tensor, " vocabulary"]:
    """Which token numbers the text model knows."""
    return (embeddings.detach() != 0).any(dim=-1).cpu()


def prompt_warnings(prompts: Sequence[str], tokenizer: Any, known: Bool[Tensor, " vocabulary"]) -> list[str]:
    """One sentence per kind of loss, with examples.

    Args:
        prompts: as the user wrote them.
        tokenizer: of transformers' CLIP kind.
        known: from `known_tokens`.
    """
    room = tokenizer.model_max_length - 2  # start and end of the text
    meanings: dict[str, bool] = {}
    long, empty = [], []
    for prompt in dict.fromkeys(prompts):
        words = prompt.lower().split()
        for word in words:
            if word not in meanings:
                meanings[word] = _means_something(word, tokenizer, known)
        if not any(meanings[word] for word in words):
            empty.append(prompt)
        if len(prompt) > room and len(_tokens(prompt, tokenizer)) > room:
            long.append(prompt)
    unknown = [word for word, meaning in meanings.items() if not meaning and any(map(str.isalnum, word))]
    warnings = []
    if long:
        warnings.append(
            f"The text model reads the first {room} tokens of a prompt; {len(long)} prompt(s) are longer and their "
            f"rest is not read ({_examples(long)})."
        )
    if empty:
        warnings.append(
            f"The text model knows no word of {len(empty)} prompt(s), so they ask for any hand ({_examples(empty)})."
        )
    elif unknown:
        warnings.append(f"The text model does not know {len(unknown)} word(s) of the prompts ({_examples(unknown)}).")
    return warnings


def _tokens(text: str, tokenizer: Any) -> list[int]:
    return tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids


def _means_something(word: str, tokenizer: Any, known: Tensor) -> bool:
    tokens = _tokens(word[:1000], tokenizer)
    return bool(tokens) and bool(known[torch.tensor(tokens)].any())


def _examples(texts: Sequence[str]) -> str:
    shown = [text if len(text) <= 40 else text[:37] + "..." for text in texts[:SHOWN]]
    return ", ".join(map(repr, shown)) + (", ..." if len(texts) > SHOWN else "")
