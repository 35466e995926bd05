"""Variance of the Laplacian: OpenCV as the oracle, blur lowers it, the background is not looked at."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from eval.sharpness import LUMA, laplacian_variance


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 32, 40, 3), dtype=np.uint8)


def test_flat_is_zero_and_blur_lowers(picture):
    everywhere = np.ones(picture.shape[:3], bool)
    assert laplacian_variance(np.full_like(picture, 120), everywhere) == pytest.approx(0.0, abs=1e-18)
    blurred = np.stack([np.asarray(Image.fromarray(p).filter(ImageFilter.GaussianBlur(1))) for p in picture])
    assert (laplacian_variance(blurred, everywhere) < 0.3 * laplacian_variance(picture, everywhere)).all()


def test_opencv_agrees(picture):
    cv2 = pytest.importorskip("cv2", reason="OpenCV comes with mediapipe")
    mask = np.zeros(picture.shape[:3], bool)
    mask[:, 8:20, 5:30] = True
    ours = laplacian_variance(picture, mask, inside_only=False)
    for value, image, hand in zip(ours, picture, mask, strict=True):
        assert value == pytest.approx(cv2.Laplacian(image @ LUMA, cv2.CV_64F)[hand].var())


def test_what_lies_outside_does_not_count(picture):
    mask = np.zeros(picture.shape[:3], bool)
    mask[:, 8:20, 5:30] = True
    other = np.where(mask[..., None], picture, 255 - picture)
    np.testing.assert_array_equal(laplacian_variance(other, mask), laplacian_variance(picture, mask))
    assert np.isnan(laplacian_variance(picture, np.zeros_like(mask))).all()


def test_a_batch_equals_singles(picture):
    mask = np.random.default_rng(1).random(picture.shape[:3]) < 0.9
    singles = [laplacian_variance(picture[i : i + 1], mask[i : i + 1])[0] for i in range(len(picture))]
    np.testing.assert_allclose(laplacian_variance(picture, mask), singles)
