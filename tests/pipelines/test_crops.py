"""Crops: clean-fid's resize as the oracle, squares that stay inside, boxes that make no sense."""

import numpy as np
import pytest

from pipelines.crops import clean_resize, square_crop


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [16, 96])
def test_resize_equals_clean_fid(picture, size):
    resizer = pytest.importorskip("cleanfid.resize", reason="clean-fid is a development dependency")
    try:
        expected = resizer.make_resizer("PIL", False, "bicubic", (size, size))(picture)
    except TypeError:  # Pillow without the argument that clean-fid gives
        pytest.skip("this clean-fid does not run on this Pillow")
    np.testing.assert_array_equal(clean_resize(picture, size), expected)


def test_resize_is_antialiased_and_keeps_flat_colours(picture):
    flat = np.full((40, 60, 3), (10, 200, 77), np.uint8)
    np.testing.assert_allclose(clean_resize(flat, 16), np.broadcast_to([10, 200, 77], (16, 16, 3)), atol=1e-4)
    assert clean_resize(picture, 4).std() < 0.4 * picture.std()


def test_the_square_is_padded_by_a_fifth(picture):
    crop = square_crop(picture, np.array([20.0, 10.0, 40.0, 24.0], np.float32))
    np.testing.assert_array_equal(crop, picture[5:29, 18:42])


def test_a_square_over_the_border_moves_inside(picture):
    crop = square_crop(picture, np.array([-6.0, 0.0, 14.0, 20.0], np.float32))
    np.testing.assert_array_equal(crop, picture[0:24, 0:24])


def test_a_square_larger_than_the_image_repeats_its_edge(picture):
    crop = square_crop(picture, np.array([0.0, 0.0, 60.0, 40.0], np.float32))
    assert crop.shape == (60, 60, 3)
    np.testing.assert_array_equal(crop[10:50], picture)
    np.testing.assert_array_equal(crop[0], picture[0])


@pytest.mark.parametrize("box", [[5, 5, 5, 9], [9, 9, 5, 5], [70, 0, 80, 10], [0, 0, np.nan, 5], [-9, -9, 0, 0]])
def test_a_box_without_a_part_in_the_image_is_refused(picture, box):
    with pytest.raises(ValueError, match="60 x 40 pixels"):
        square_crop(picture, np.array(box, np.float32))
