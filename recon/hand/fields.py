"""The arrays that make a hand model, under MANO's own names: what they must look like, their fingerprint, their file.

MANO (Romero et al. 2017, section 3) and the default hand both live in such an npz (DESIGN section 4).
"""

import hashlib
import io
import zipfile
from collections.abc import Mapping

import numpy as np

from recon.files import FileError
from recon.hand.skeleton import MANO_PARENTS

FIELDS: dict[str, tuple[int, ...]] = {
    "v_template": (778, 3),
    "shapedirs": (778, 3, 10),
    "posedirs": (778, 3, 135),
    "J_regressor": (16, 778),
    "weights": (778, 16),
    "f": (1538, 3),
    "kintree_table": (2, 16),
    "hands_components": (45, 45),
    "hands_mean": (45,),
}
"""Every field a hand model needs, with its shape."""

_INTEGER_FIELDS = ("f", "kintree_table")
_DECIDING_FIELDS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f")


def check_fields(arrays: Mapping[str, object], name: str) -> dict[str, np.ndarray]:
    """The hand model's arrays, after a look at each; integers as int64, the rest as float64 or float32.

    Args:
        arrays: at least the keys of `FIELDS`; others are left out.
        name: what to call their source in messages.

    Raises:
        FileError: a field is missing, is no array of numbers, has another shape, is not finite, or points outside the
            mesh; or the joints do not hang together as MANO's do.
    """
    checked = {}
    for key, shape in FIELDS.items():
        if key not in arrays:
            raise FileError(f"{name} has no field {key!r}; a MANO file has {', '.join(FIELDS)}.")
        value = arrays[key]
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
            kind = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
            raise FileError(f"{name}: field {key!r} is of type {kind}, but must be an array of numbers.")
        if value.shape != shape:
            raise FileError(f"{name}: field {key!r} has shape {value.shape}, but must have {shape}.")
        if not np.isfinite(value).all():
            raise FileError(f"{name}: field {key!r} holds numbers that are not finite.")
        if key in _INTEGER_FIELDS:
            checked[key] = value.astype(np.int64)
        else:
            checked[key] = value if value.dtype == np.float32 else value.astype(np.float64)
    if checked["f"].min() < 0 or checked["f"].max() >= FIELDS["v_template"][0]:
        raise FileError(f"{name}: field 'f' names vertices outside 0..{FIELDS['v_template'][0] - 1}.")
    if tuple(checked["kintree_table"][0, 1:]) != MANO_PARENTS[1:]:
        raise FileError(f"{name}: field 'kintree_table' does not describe MANO's 16 joints.")
    checked["kintree_table"][0, 0] = -1
    if np.abs(checked["weights"].sum(axis=1) - 1).max() > 0.01:
        raise FileError(f"{name}: the rows of field 'weights' do not sum to one.")
    return checked


def fingerprint(arrays: Mapping[str, np.ndarray]) -> str:
    """First 16 hex digits of the sha256 over the fields that decide a mesh: names, shapes and float32 bytes."""
    digest = hashlib.sha256()
    for key in _DECIDING_FIELDS:
        array = np.ascontiguousarray(arrays[key], dtype=np.int64 if key == "f" else np.float32)
        digest.update(f"{key}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """A compressed npz with fixed dates, so that the same arrays give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for key in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(arrays[key]), allow_pickle=False)
            info = zipfile.ZipInfo(f"{key}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, member.getvalue(), compresslevel=9)
    return buffer.getvalue()
