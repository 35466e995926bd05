"""HandCLIP's tokenizer: one file, two libraries, the same numbers; cutting is reproducible."""

from pathlib import Path

import open_clip.tokenizer
import torch

from synth.handclip.tokenizer import (
    CONTEXT_LENGTH,
    END,
    START,
    VOCABULARY,
    clip_tokenizer,
    cut_merges,
    merges_file,
    tokenize,
)

TEXTS = ["A right hand, thumb up! It's 12 o'clock...", "", "quixotic 手 é ñ <b>", "fist " * 2000, "  tabs\tand\nlines "]


def test_open_clip_and_transformers_agree() -> None:
    ids = clip_tokenizer()(TEXTS, padding="max_length", truncation=True, max_length=CONTEXT_LENGTH, return_tensors="pt")
    assert torch.equal(tokenize(TEXTS), ids.input_ids)


def test_texts_start_end_and_are_padded_with_ends() -> None:
    tokens = tokenize(TEXTS)
    assert (tokens[:, 0] == START).all() and (tokens[:, -1] == END).all()
    assert tokens[1].tolist() == [START] + [END] * (CONTEXT_LENGTH - 1)
    assert tokens.max() < VOCABULARY and len(clip_tokenizer()) == VOCABULARY


def test_common_words_stay_whole() -> None:
    for word in ("hand", "left", "right", "finger", "palm", "straight", "index"):
        assert (tokenize([word])[0] != END).sum() == 2, word


def test_the_shipped_file_is_the_cut_of_clips_own(tmp_path: Path) -> None:
    cut_merges(Path(open_clip.tokenizer.default_bpe()), tmp_path / "bpe.txt.gz")
    assert (tmp_path / "bpe.txt.gz").read_bytes() == merges_file().read_bytes()
