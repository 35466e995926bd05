"""Sharpness of the hand in a picture: the variance of the Laplacian on the hand's mask (DESIGN section 9).

A blurred picture passes a detector more easily than a sharp one, so this figure stands beside the detection rate.
"""

import numpy as np
from jaxtyping import Bool, Float, UInt8

LUMA = np.array([0.299, 0.587, 0.114])  # Rec. 601, as the usual greyscale conversion


def laplacian(grey: Float[np.ndarray, "*batch h w"]) -> Float[np.ndarray, "*batch h-2 w-2"]:
    """Four-neighbour Laplacian of the inner pixels, in the picture's grey levels."""
    centre = grey[..., 1:-1, 1:-1]
    return grey[..., :-2, 1:-1] + grey[..., 2:, 1:-1] + grey[..., 1:-1, :-2] + grey[..., 1:-1, 2:] - 4.0 * centre


def laplacian_variance(
    images: UInt8[np.ndarray, "n h w 3"], masks: Bool[np.ndarray, "n h w"], inside_only: bool = True
) -> Float[np.ndarray, "n"]:
    """Variance of the Laplacian over the hand's pixels, per picture (grey levels 0..255, squared).

    Args:
        images: RGB pictures.
        masks: where the hand is.
        inside_only: count a pixel only when its four neighbours are on the hand too, so that the contrast between
            hand and background at the outline is not taken for sharpness of the skin.

    Returns:
        One variance per picture; NaN where fewer than 2 pixels count.
    """
    edges = laplacian(images @ LUMA)
    counted = masks[:, 1:-1, 1:-1]
    if inside_only:
        counted = counted & masks[:, :-2, 1:-1] & masks[:, 2:, 1:-1] & masks[:, 1:-1, :-2] & masks[:, 1:-1, 2:]
    n = counted.sum((1, 2))
    safe = np.maximum(n, 1)
    mean = np.where(counted, edges, 0.0).sum((1, 2)) / safe
    variance = np.where(counted, (edges - mean[:, None, None]) ** 2, 0.0).sum((1, 2)) / safe
    return np.where(n > 1, variance, np.nan)
