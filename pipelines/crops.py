"""Hand crops for FID-H and KID-H (MMHMR section 4; DESIGN section 9): a square around the known box, padded 20 %.

Resized as clean-fid does: Pillow's antialiased bicubic on float channels, never rounded to bytes in between.
"""

import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image

PADDED = 1.2  # side of the crop over the longer side of the box


def square_crop(
    image: UInt8[np.ndarray, "h w 3"], box: Float[np.ndarray, "4"], scale: float = PADDED
) -> UInt8[np.ndarray, "s s 3"]:
    """The square around a box, `scale` times its longer side, in whole pixels.

    A square that reaches out of the image is moved back inside, so that no made-up border enters the statistics; where
    it is larger than the image, the image's edge pixels are repeated.

    Args:
        image: the whole picture.
        box: x0, y0, x1, y1 in pixels.
        scale: side of the crop over the longer side of the box.

    Raises:
        ValueError: when the box is empty, not finite, or nowhere near the image.
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = map(float, box)
    if not (np.isfinite(box).all() and x1 > x0 and y1 > y0 and x0 < width and y0 < height and x1 > 0 and y1 > 0):
        raise ValueError(f"the hand box {box.tolist()} has no part in the image of {width} x {height} pixels")
    # A box may reach far out of the picture; what lies outside adds nothing to look at.
    side = max(1, min(round(max(x1 - x0, y1 - y0) * scale), max(height, width)))
    left, top = (_start((low + high) / 2, side, length) for low, high, length in ((x0, x1, width), (y0, y1, height)))
    rows = np.arange(top, top + side).clip(0, height - 1)
    columns = np.arange(left, left + side).clip(0, width - 1)
    return np.ascontiguousarray(image[rows[:, None], columns[None, :]])


def _start(center: float, side: int, length: int) -> int:
    """Where a stretch of `side` pixels begins: centred, moved inside 0..length, or centred on it when longer."""
    if side >= length:
        return (length - side) // 2
    return min(max(round(center - side / 2), 0), length - side)


def clean_resize(image: UInt8[np.ndarray, "h w 3"], size: int) -> Float32[np.ndarray, "{size} {size} 3"]:
    """clean-fid's resize to size x size pixels: bicubic with antialiasing on float channels, values in 0..255."""
    channels = [Image.fromarray(image[..., c].astype(np.float32), mode="F") for c in range(3)]
    resized = [np.asarray(c.resize((size, size), Image.Resampling.BICUBIC)) for c in channels]
    return np.stack(resized, axis=-1).clip(0.0, 255.0)
