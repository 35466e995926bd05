"""Contact sheets hold every picture in its place and shorten what does not fit."""

import numpy as np
import pytest
from PIL import Image

from synth.render.sheet import contact_sheet, write_animation


def tiles(count, height=40, width=60):
    return [np.full((height, width, 3), 20 + 10 * index, dtype=np.uint8) for index in range(count)]


def test_pictures_stand_in_rows_and_unchanged():
    sheet = contact_sheet(tiles(5), columns=3, gap=4)
    assert sheet.shape == (4 + 2 * 44, 4 + 3 * 64, 3)
    for index in range(5):
        row, column = divmod(index, 3)
        part = sheet[4 + 44 * row : 44 + 44 * row, 4 + 64 * column : 64 + 64 * column]
        assert (part == 20 + 10 * index).all()
    assert (sheet[48:88, 132:] == 255).all()


def test_captions_and_title_add_ink_below_and_above_only():
    plain = contact_sheet(tiles(2), columns=2)
    written = contact_sheet(tiles(2), ["a fist", "an open palm seen from far away " * 40], 2, "Two hands")
    assert written.shape[1] == plain.shape[1] and written.shape[0] > plain.shape[0] + 40
    one_line = contact_sheet(tiles(2), ["x " * 400] * 2, 2, caption_lines=1)
    assert one_line.shape[0] < written.shape[0]
    assert (written[:25] < 100).any()


def test_any_text_can_be_a_caption():
    texts = ["", "a" * 10_000, "\u624b \u0440\u0443\u043a\u0430 \u064a\u062f", "tab\tand\nline"]
    assert contact_sheet(tiles(4), texts).shape[2] == 3


def test_pictures_of_several_sizes_keep_their_proportions():
    sheet = contact_sheet([*tiles(1, 20, 80), *tiles(1, 80, 20)], columns=2, tile=80, gap=0)
    assert (sheet[:, :80] != 255).any(-1).sum() == 20 * 80
    assert (sheet[:, 80:] != 255).any(-1).sum() == 20 * 80


def test_wrong_input_is_one_clear_sentence():
    with pytest.raises(ValueError, match="at least one picture"):
        contact_sheet([])
    with pytest.raises(ValueError, match="1 captions for 2 pictures"):
        contact_sheet(tiles(2), ["one"])


def test_an_animation_holds_all_frames(tmp_path):
    write_animation(tmp_path / "turn.gif", np.stack(tiles(5)), 10.0)
    with Image.open(tmp_path / "turn.gif") as picture:
        assert picture.n_frames == 5 and picture.info["duration"] == 100 and picture.info["loop"] == 0
