"""MANO's own file, a pickle from another age, read without running anything in it (DESIGN section 4).

The unpickler knows ten names, and even those are stand-ins here: they only note what the file says. The arrays are made
afterwards, from sizes that have been checked.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recon.files import FileError, unpickle, write_atomic
from recon.hand.fields import FIELDS, check_fields, npz_bytes
from recon.hand.skeleton import FINGERTIP_VERTICES

MAX_FILE_BYTES = 64 << 20
_NUMBER_TYPES = tuple(
    f"{kind}{size}" for kind, sizes in (("f", (4, 8)), ("i", (4, 8)), ("u", (4, 8))) for size in sizes
)


class _Noted:
    """What a pickle says about one object: its constructor's arguments and its state, nothing done with them."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _NumberType(_Noted):
    """Stands in for `numpy.dtype`."""


class _Array(_Noted):
    """Stands in for the empty array that numpy's `_reconstruct` makes and the state fills."""


class _SparseMatrix(_Noted):
    """Stands in for `scipy.sparse.csc_matrix`."""


class _Chumpy(_Noted):
    """Stands in for `chumpy.ch.Ch` (an array in its field x), which does not import on today's Python."""


class _ChumpySelect(_Noted):
    """Stands in for `chumpy.reordering.Select`: entries `idxs` of its field a, in `preferred_shape`."""


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """What `_codecs.encode` is in such files: how Python 3 writes bytes for Python 2."""
    if encoding not in ("latin1", "latin-1"):
        raise FileError(f"a MANO file encodes text as {encoding!r}; allowed is latin1.")
    return text.encode("latin1")


ALLOWED: Mapping[tuple[str, str], object] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): "numpy.ndarray",
    ("numpy", "dtype"): _NumberType,
    ("scipy.sparse.csc", "csc_matrix"): _SparseMatrix,
    ("scipy.sparse._csc", "csc_matrix"): _SparseMatrix,
    ("__builtin__", "set"): set,
    ("chumpy.ch", "Ch"): _Chumpy,
    ("chumpy.reordering", "Select"): _ChumpySelect,
    ("_codecs", "encode"): _encode,
}
"""Every name that a MANO pickle may ask for, and the inert object that it gets."""


def read_mano(source: str | Path | bytes, name: str | None = None) -> dict[str, np.ndarray]:
    """The fields of a `MANO_RIGHT.pkl` or `MANO_LEFT.pkl`.

    Args:
        source: path or bytes of the pickle.
        name: what to call it in messages; the path by default.

    Returns:
        The arrays of `recon.hand.fields.FIELDS`.

    Raises:
        FileError: one sentence; missing, damaged, asking for a name outside `ALLOWED` (nothing is run), or not MANO.
    """
    name = name or ("a MANO file" if isinstance(source, bytes) else str(source))
    content = unpickle(source, ALLOWED, name=name, max_bytes=MAX_FILE_BYTES)
    if not isinstance(content, dict):
        raise FileError(f"{name} holds a {type(content).__name__}, but a MANO file holds a table of fields.")
    fields = {}
    for key in FIELDS:
        if key in content:
            try:
                fields[key] = _to_array(content[key], int(np.prod(FIELDS[key])))
            except FileError:
                raise
            except Exception as error:  # whatever a forged note runs into
                raise FileError(f"{name}: field {key!r} is not a readable array of numbers.") from error
    return check_fields(fields, name)


def is_right_hand(fields: Mapping[str, np.ndarray]) -> bool:
    """Whether MANO's fields are those of a right hand: at rest its fingers point along -x, a left hand's along +x."""
    template = fields["v_template"]
    wrist = fields["J_regressor"][0] @ template
    return bool(template[FINGERTIP_VERTICES["middle"], 0] < wrist[0])


def import_mano(source: str | Path, destination: str | Path) -> Path:
    """Convert MANO's pickle to an npz with no code inside.

    Args:
        source: `MANO_RIGHT.pkl` or `MANO_LEFT.pkl`; which of them is seen from the mesh.
        destination: a folder (the file is then `mano_right.npz` or `mano_left.npz`), or a file name ending in .npz.

    Returns:
        Where the npz is.

    Raises:
        FileError: the source is not a MANO file, or the destination cannot be written.
    """
    fields = read_mano(source)
    path = Path(destination)
    if path.suffix != ".npz":
        path = path / f"mano_{'right' if is_right_hand(fields) else 'left'}.npz"
    write_atomic(path, npz_bytes(fields))
    return path


def _to_array(noted: Any, entries: int, depth: int = 0) -> np.ndarray:
    """The array that a note describes; `entries` is how many numbers it must have."""
    if depth > 4:
        raise ValueError("arrays within arrays")
    if isinstance(noted, _Array):
        return _dense(noted)
    if isinstance(noted, _SparseMatrix):
        return _from_sparse(noted.state, entries)
    if isinstance(noted, _ChumpySelect):
        return _select(noted.state, entries, depth)
    if isinstance(noted, _Chumpy):
        return _to_array(noted.state["x"], entries, depth + 1)
    raise ValueError(f"a {type(noted).__name__}")


def _dense(noted: _Array) -> np.ndarray:
    """A plain array from the state (version, shape, type, column order, bytes) that numpy pickles."""
    _, shape, number_type, by_columns, data = noted.state
    code, order = str(number_type.arguments[0]), (number_type.state or (3, "<"))[1]
    if code not in _NUMBER_TYPES or order not in ("<", ">", "|", "="):
        raise ValueError(f"numbers of type {order}{code}")
    raw = data.encode("latin1") if isinstance(data, str) else bytes(data)
    values = np.frombuffer(raw, dtype=np.dtype(("<" if order in "|=" else order) + code))
    return values.reshape(tuple(int(n) for n in shape), order="F" if by_columns else "C").astype(code)


def _from_sparse(state: Mapping[str, Any], entries: int) -> np.ndarray:
    """A dense matrix from the fields of a csc matrix, after a look at its size and its indices."""
    rows, columns = (int(n) for n in state["_shape"] if n is not None)
    data, indices, starts = (_dense(state[key]).reshape(-1) for key in ("data", "indices", "indptr"))
    if rows <= 0 or columns <= 0 or rows * columns != entries:
        raise ValueError(f"a matrix of {rows} x {columns}")
    in_order = len(starts) == columns + 1 and starts[0] == 0 and (np.diff(starts) >= 0).all()
    if not in_order or starts[-1] != len(data) or len(indices) != len(data):
        raise ValueError("columns that do not follow each other")
    if len(indices) and (indices.min() < 0 or indices.max() >= rows):
        raise ValueError("rows outside the matrix")
    dense = np.zeros((rows, columns), dtype=data.dtype)
    np.add.at(dense, (indices, np.repeat(np.arange(columns), np.diff(starts))), data)
    return dense


def _select(state: Mapping[str, Any], entries: int, depth: int) -> np.ndarray:
    """Chumpy's selection of entries of a flattened array."""
    flat = _to_array(state["a"], entries, depth + 1).reshape(-1)
    idxs = _dense(state["idxs"]).reshape(-1)
    if len(idxs) != entries or idxs.dtype.kind not in "iu" or idxs.min() < 0 or idxs.max() >= len(flat):
        raise ValueError("entries outside the array")
    chosen = flat[idxs]
    shape = state.get("preferred_shape")
    return chosen if shape is None else chosen.reshape(tuple(int(n) for n in shape))
