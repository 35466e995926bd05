"""Arrays of numbers out of files of other people: a shape that does not fit is one sentence with the file's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from recon.files import FileError, open_image, open_json

MAX_TABLE_BYTES = 4 << 30
"""Of a JSON table: all meshes of a large data set as text."""


def numbers(value: Any, shape: tuple[int, ...], what: str) -> Float[np.ndarray, "..."]:
    """A value as float64 numbers of a shape.

    Args:
        value: an array, or nested lists of numbers.
        shape: what it must have; -1 stands for any size.
        what: the file and the key, for the message.

    Raises:
        FileError: it holds something else, or has another shape.
    """
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "fiu":
            raise ValueError
    except ValueError as error:
        raise FileError(f"{what} must hold numbers of the shape {_words(shape)}.") from error
    if len(array.shape) != len(shape) or any(w not in (-1, g) for w, g in zip(shape, array.shape, strict=True)):
        raise FileError(f"{what} has the shape {list(array.shape)}; it must be {_words(shape)}.")
    return array.astype(np.float64)


def _words(shape: tuple[int, ...]) -> str:
    return f"[{', '.join('n' if size < 0 else str(size) for size in shape)}]"


def open_table(path: Path, *shape: int) -> Float[np.ndarray, "..."]:
    """A JSON file that lists one array for each picture, as float32 [n, *shape].

    Raises:
        FileError: missing, not JSON, or rows of another shape.
    """
    rows = open_json(path, max_bytes=MAX_TABLE_BYTES)
    return numbers(rows, (-1, *shape), str(path)).astype(np.float32)


def read_picture(path: Path) -> bytes:
    """The encoded bytes of a picture as its data set ships them.

    Raises:
        FileError: missing, damaged, or no PNG, JPEG or WEBP.
    """
    open_image(path)
    return path.read_bytes()
