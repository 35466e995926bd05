"""What a text model cannot take in is said: unknown words, other scripts, texts that are too long."""

import pytest
import torch

from pipelines.prompt_check import known_tokens, prompt_warnings
from synth.handclip.tokenizer import VOCABULARY, clip_tokenizer, tokenize


@pytest.fixture(scope="module")
def known() -> torch.Tensor:
    embeddings = torch.nn.Embedding(VOCABULARY, 4)
    seen = tokenize(["a left hand making a fist, palm up"]).unique()
    unseen = torch.ones(VOCABULARY, dtype=torch.bool)
    unseen[seen] = False
    with torch.no_grad():
        embeddings.weight[unseen] = 0
    return known_tokens(embeddings.weight)


def test_known_prompts_need_no_word(known: torch.Tensor) -> None:
    assert prompt_warnings(["a fist", "Left hand, palm up"], clip_tokenizer(), known) == []


def test_losses_are_named(known: torch.Tensor) -> None:
    tokenizer = clip_tokenizer()
    (unknown,) = prompt_warnings(["a zeppelin fist"], tokenizer, known)
    assert "'zeppelin'" in unknown and "fist" not in unknown
    (empty,) = prompt_warnings(["a fist", "握拳", "🖐", "握拳"], tokenizer, known)
    assert "2 prompt(s)" in empty and "'握拳'" in empty
    (long,) = prompt_warnings(["a fist " * 1500], tokenizer, known)
    assert "1 prompt(s) are longer" in long and "62 tokens" in long and len(long) < 300
    assert len(prompt_warnings([f"zeppelin{i} fist" for i in range(99)], tokenizer, known)[0]) < 400
