"""What stands behind the hand: walls, wood, bricks, cloth, blurred rooms and gardens, or the user's photos."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32
from PIL import Image, ImageFilter

from recon.files import open_image
from synth.world.looks import Background

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def photo_files(folder: str | Path) -> tuple[Path, ...]:
    """The photos of a folder, sorted by name.

    Raises:
        ValueError: the folder is missing or holds no photo.
    """
    folder = Path(folder)
    found = tuple(sorted(path for path in folder.glob("*") if path.suffix.lower() in PHOTO_SUFFIXES))
    if not found:
        raise ValueError(
            f"the background folder {folder} holds no picture; allowed are {', '.join(PHOTO_SUFFIXES)} files"
        )
    return found


def draw_background(
    background: Background, size: int, photos: tuple[Path, ...] = ()
) -> Float32[np.ndarray, "{size} {size} 3"]:
    """Linear light of a background; the pattern follows from its seed, whatever the size."""
    rng = np.random.default_rng(background.seed)
    if background.kind == "photo":
        picture = _photo(photos[background.seed % len(photos)], size, rng)
    else:
        picture = _PAINTERS[background.kind](rng, size, np.asarray(background.color), np.asarray(background.second))
    pixels = Image.fromarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))
    pixels = pixels.filter(ImageFilter.GaussianBlur(background.blur * size / 256))
    return _LINEAR[np.asarray(pixels)]


_LEVELS = np.arange(256) / 255
_LINEAR = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _clouds(rng: np.random.Generator, size: int, cells: tuple[int, int]) -> np.ndarray:
    """Smooth noise in about [-1, 1] with `cells` rows and columns of bumps."""
    grid = rng.uniform(-1, 1, (cells[0] + 3, cells[1] + 3)).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC))


def _shaded(rng: np.random.Generator, size: int, color: np.ndarray, strength: float) -> np.ndarray:
    """A colour under uneven light."""
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    slope = rng.normal(0, strength, 2)
    level = 1 + slope[0] * x + slope[1] * y + 0.5 * strength * _clouds(rng, size, (2, 2))
    return color * level[..., None]


def _wall(rng: np.random.Generator, size: int, color: np.ndarray, second: np.ndarray) -> np.ndarray:
    picture = _shaded(rng, size, color, 0.18)
    if rng.random() < 0.35:
        edge = int(rng.uniform(0.55, 0.95) * size)
        picture[edge:] = picture[edge:] * 0.55 + 0.45 * second * 0.8
    return picture * (1 + 0.02 * _clouds(rng, size, (24, 24))[..., None])


def _gradient(rng: np.random.Generator, size: int, color: np.ndarray, second: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    centre, reach = rng.uniform(-0.3, 0.3, 2), rng.uniform(0.5, 0.9)
    glow = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * reach**2))
    return color * (0.55 + 0.55 * glow)[..., None]


def _wood(rng: np.random.Generator, size: int, color: np.ndarray, second: np.ndarray) -> np.ndarray:
    rows = int(rng.integers(3, 7))
    y, x = np.mgrid[0:size, 0:size] / size
    plank = np.floor(y * rows).astype(int)
    tone = rng.uniform(0.86, 1.08, rows + 1)[plank]
    shift = _clouds(rng, size, (3 * rows, 2))
    grain = np.sin((y * rows * 5 + 1.6 * shift + 0.4 * np.sin(x * 5 + plank * 2.1)) * 2 * np.pi)
    gap = np.abs(y * rows - np.round(y * rows)) < 0.02 * rows / 4
    level = tone * (1 + 0.055 * grain + 0.04 * _clouds(rng, size, (60, 4))) * np.where(gap, 0.6, 1)
    picture = _shaded(rng, size, color, 0.12) * level[..., None]
    return picture.transpose(1, 0, 2) if rng.random() < 0.4 else picture


def _brick(rng: np.random.Generator, size: int, color: np.ndarray, second: np.ndarray) -> np.ndarray:
    rows = int(rng.integers(7, 13))
    y, x = np.mgrid[0:size, 0:size] / size
    row = np.floor(y * rows).astype(int)
    column = np.floor(x * rows / 2.4 + 0.5 * (row % 2)).astype(int)
    tone = rng.uniform(0.8, 1.12, (rows + 1, rows + 2))[row, np.clip(column, 0, rows + 1)]
    fy, fx = y * rows - row, x * rows / 2.4 + 0.5 * (row % 2) - column
    joint = (fy < 0.12) | (fx < 0.05)
    picture = _shaded(rng, size, color, 0.15) * tone[..., None] * (1 + 0.05 * _clouds(rng, size, (50, 50)))[..., None]
    mortar = np.full(3, 0.62) * (0.6 + 0.4 * color.mean())
    return np.where(joint[..., None], mortar, picture)


def _fabric(rng: np.random.Generator, size: int, color: np.ndarray, second: np.ndarray) -> np.ndarray:
    folds = _clouds(rng, size, (3, 5)) + 0.5 * _clouds(rng, size, (7, 9))
    picture = color * (1 + 0.16 * folds[..., None])
    if rng.random() < 0.4:
        y, x = np.mgrid[0:size, 0:size] / size
        stripes = np.sin((x + 0.05 * folds) * 2 * np.pi * rng.integers(5, 12)) > rng.uniform(0.3, 0.8)
        picture = np.where(stripes[..., None], picture * 0.6 + 0.4 * second, picture)
    return picture * (1 + 0.03 * _clouds(rng, size, (80, 80))[..., None])


def _indoor(rng: np.random.Generator, size: int, color: np.ndarray, second: np.ndarray) -> np.ndarray:
    warm = np.array([0.62, 0.56, 0.49]) * rng.uniform(0.5, 1.25)
    picture = _shaded(rng, size, 0.75 * warm + 0.25 * color, 0.25)
    floor = int(rng.uniform(0.6, 1.1) * size)
    picture[floor:] *= np.array([0.72, 0.62, 0.52])
    for _ in range(int(rng.integers(4, 10))):
        x0, y0 = rng.uniform(-0.1, 0.9, 2)
        width, height = rng.uniform(0.08, 0.4), rng.uniform(0.08, 0.55)
        tone = rng.uniform(0.08, 0.95, 3) * 0.45 + 0.55 * rng.choice([color, second, warm, warm * 0.4])
        rows = slice(int(max(y0, 0) * size), int(min(y0 + height, 1) * size))
        columns = slice(int(max(x0, 0) * size), int(min(x0 + width, 1) * size))
        picture[rows, columns] = 0.2 * picture[rows, columns] + 0.8 * tone
    return picture


def _outdoor(rng: np.random.Generator, size: int, color: np.ndarray, second: np.ndarray) -> np.ndarray:
    leaves = _clouds(rng, size, (6, 6)) + 0.6 * _clouds(rng, size, (13, 13))
    green = np.array([0.26, 0.42, 0.18]) * rng.uniform(0.7, 1.4) + np.array([0.12, 0.05, 0]) * rng.uniform(-0.5, 1)
    picture = green * (1 + 0.45 * leaves[..., None])
    y = (np.arange(size) / size)[:, None, None]
    sky = np.array([0.72, 0.82, 0.92]) * rng.uniform(0.85, 1.05)
    horizon = rng.uniform(-0.2, 0.5)
    above = 1 / (1 + np.exp((y - horizon - 0.08 * leaves[..., None]) / 0.03))
    return picture * (1 - above) + sky * above


def _sky(rng: np.random.Generator, size: int, color: np.ndarray, second: np.ndarray) -> np.ndarray:
    y = (np.arange(size) / size)[:, None, None]
    blue = np.array([0.36, 0.58, 0.86]) * (1 - y) + np.array([0.72, 0.83, 0.93]) * y
    cloud = np.clip(_clouds(rng, size, (3, 2)) + 0.5 * _clouds(rng, size, (7, 5)) - 0.1, 0, 1)[..., None]
    return blue * (1 - 0.8 * cloud) + 0.95 * 0.8 * cloud


def _photo(path: Path, size: int, rng: np.random.Generator) -> np.ndarray:
    picture = open_image(path)
    side = int(min(picture.size) * rng.uniform(0.6, 1.0))
    left, top = (int(rng.integers(0, extent - side + 1)) for extent in picture.size)
    cut = picture.resize((size, size), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side))
    return np.asarray(cut, dtype=np.float64) / 255


_PAINTERS = {
    "wall": _wall,
    "gradient": _gradient,
    "wood": _wood,
    "brick": _brick,
    "fabric": _fabric,
    "indoor": _indoor,
    "outdoor": _outdoor,
    "sky": _sky,
}
