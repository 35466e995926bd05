"""HandCLIP: two libraries compute one text tower, pictures do not feel their neighbours, unknown words are silent."""

from pathlib import Path

import pytest
import torch

from recon.files import FileError
from synth.handclip.model import HandClip, HandClipConfig
from synth.handclip.tokenizer import END, START, tokenize

TEXTS = ["A right hand, thumb up!", "a left fist " * 40, ""]
TINY = HandClipConfig(embed_dim=16, text_width=32, text_layers=2, text_heads=2, image_size=32, image_width=4)


@pytest.fixture(scope="module")
def model() -> HandClip:
    torch.manual_seed(0)
    return HandClip(TINY)


def test_the_transformers_text_model_is_the_same(model: HandClip) -> None:
    with torch.no_grad():
        hidden = model.clip_text_model()(tokenize(TEXTS)).last_hidden_state
    torch.testing.assert_close(hidden, model.encode_text(TEXTS).hidden)


def test_a_picture_has_the_same_features_in_any_batch(model: HandClip) -> None:
    images = torch.randint(0, 256, (11, 40, 48, 3), dtype=torch.uint8)
    together = model.encode_image(images)
    alone = torch.cat([model.encode_image(image[None]) for image in images])
    assert torch.equal(together, alone)
    assert model.encode_image(images[:0]).shape == (0, 16)


def test_padding_does_not_change_a_text(model: HandClip) -> None:
    tokens = tokenize(["an open palm"])
    torch.testing.assert_close(model.text_features(tokens[:, :8]).pooled, model.text_features(tokens).pooled)


def test_an_unknown_word_is_as_one_that_is_kept_out(model: HandClip) -> None:
    tokens = tokenize(["a strange hand"])
    strange = tokens[0, 2]
    keep = (tokens != strange).float()
    expected = model.text_features(tokens, keep)
    forgetful = HandClip(TINY)
    forgetful.load_state_dict(model.state_dict())
    forgetful.forget(tokens[tokens != strange].unique())
    torch.testing.assert_close(forgetful.text_features(tokens).hidden, expected.hidden)


def test_saving_keeps_the_features(model: HandClip, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    again = HandClip.from_pretrained(tmp_path)
    assert again.config == TINY
    torch.testing.assert_close(again.encode_text(TEXTS).pooled, model.encode_text(TEXTS).pooled, atol=0.02, rtol=0.02)
    images = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    torch.testing.assert_close(again.encode_image(images), model.encode_image(images), atol=0.02, rtol=0.02)


def test_a_folder_without_a_model_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="holds no HandCLIP"):
        HandClip.from_pretrained(tmp_path)


def test_spread_words_have_nothing_in_common_and_differ_more() -> None:
    torch.manual_seed(0)
    clip = HandClip(TINY)
    with torch.no_grad():  # as training leaves it: a part that all words share, larger than what sets them apart
        clip.clip.text.transformer.resblocks[-1].mlp.c_proj.bias += 20 * torch.randn(TINY.text_width)
    tokens = tokenize(["a right fist", "an open left palm", "the letter C in front of a wall"])
    words = (tokens != START) & (tokens != END)
    with torch.no_grad():
        before = clip.text_features(tokens).hidden[words].std(0).mean()
        clip.spread_words(tokens)
        after = clip.text_features(tokens).hidden[words].std(0).mean()
        assert clip._before_norm(tokens)[words].mean(0).abs().max() < 1e-4
    assert after > 3 * before
