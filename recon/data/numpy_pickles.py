"""What pickles of plain numpy arrays may ask for: the data sets that ship their labels so need no other name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recon.files import FileError

_reconstruct: Any = np.zeros(0).__reduce__()[0]


def _number(dtype: np.dtype, data: str | bytes) -> Any:
    """Stands in for numpy's `scalar`: one plain number of its bytes."""
    raw = data.encode("latin1") if isinstance(data, str) else data
    if dtype.kind not in "biuf" or len(raw) != dtype.itemsize:
        raise FileError(f"A pickle holds a number of {len(raw)} bytes as {dtype}, which is not allowed.")
    return np.frombuffer(raw, dtype)[0]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Stands in for `_codecs.encode`: how Python 3 writes bytes for Python 2."""
    if encoding not in ("latin1", "latin-1"):
        raise FileError(f"A pickle encodes text as {encoding!r}; allowed is latin1.")
    return text.encode("latin1")


NUMPY_NAMES: Mapping[tuple[str, str], object] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _number,
    ("numpy._core.multiarray", "scalar"): _number,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
}
"""(module, name) -> what it becomes, for `recon.files.unpickle`."""
