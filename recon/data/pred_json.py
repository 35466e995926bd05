"""Files of predictions that the servers of FreiHAND and HO-3D score: `pred.json` = [joints, meshes], a hand a picture.

Joints are [N][21][3], meshes [N][778][3], metres in the camera frame, a row for each evaluation picture in the set's
own order. FreiHAND's axes and joints are ours; HO-3D's axes are OpenGL's, its joints MANO's with the tips behind.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from recon.data.arrays import MAX_TABLE_BYTES, numbers
from recon.data.ho3d import OPENGL_TO_OPENCV
from recon.files import FileError, open_json, staged
from recon.hand.skeleton import MANO_TO_OPENPOSE


@dataclass(frozen=True)
class Predictions:
    """Hands in the terms of our records: OpenCV camera frame, metres."""

    joints: Float[np.ndarray, "n 21 3"]
    """Wrist, thumb, index, middle, ring, little; base to tip."""
    vertices: Float[np.ndarray, "m 778 3"]
    """Of the same hands; files in which the numbers differ are refused."""


@dataclass(frozen=True)
class Form:
    """How a data set writes points."""

    axes: tuple[float, float, float]
    """What each coordinate of ours is multiplied with."""
    order: tuple[int, ...]
    """Where each of our joints stands in the file."""


FREIHAND = Form(axes=(1.0, 1.0, 1.0), order=tuple(range(21)))
_X, _Y, _Z = (float(sign) for sign in OPENGL_TO_OPENCV)
HO3D = Form(axes=(_X, _Y, _Z), order=MANO_TO_OPENPOSE)
FORMS: Mapping[str, Form] = {"freihand": FREIHAND, "ho3d-v2": HO3D, "ho3d-v3": HO3D}
"""Name of a reader -> the form of its predictions."""


def form_of(reader: str) -> Form:
    """The form of a data set's predictions.

    Raises:
        FileError: the set has none.
    """
    if reader not in FORMS:
        raise FileError(f"{reader!r} has no form of predictions; those that have one are {', '.join(FORMS)}.")
    return FORMS[reader]


def write_predictions(path: Path, predictions: Predictions, form: Form) -> None:
    """Write a `pred.json`, hand by hand, whole or not at all.

    Raises:
        FileError: joints and meshes differ in number, are not finite, or the file cannot be written.
    """
    count = len(predictions.joints)
    if len(predictions.vertices) != count:
        raise FileError(f"{path}: there are {count} hands of joints but {len(predictions.vertices)} meshes.")
    if not (np.isfinite(predictions.joints).all() and np.isfinite(predictions.vertices).all()):
        raise FileError(f"{path}: the predictions hold numbers that are not finite.")
    joints = np.empty_like(predictions.joints)
    joints[:, form.order] = predictions.joints
    with staged(path) as temporary, temporary.open("w", encoding="ascii") as file:
        for opening, hands in (("[[", joints), ("], [", predictions.vertices)):
            file.write(opening)
            for row, hand in enumerate(hands):
                file.write((", " if row else "") + json.dumps((hand * form.axes).tolist()))
        file.write("]]\n")


def read_predictions(path: Path, form: Form) -> Predictions:
    """Read a `pred.json`; the inverse of `write_predictions`.

    Raises:
        FileError: missing, not JSON, or not two lists of as many joints and meshes.
    """
    content = open_json(path, max_bytes=MAX_TABLE_BYTES)
    if not isinstance(content, list) or len(content) != 2:
        raise FileError(f"{path} must hold a list of two: joints, and meshes.")
    joints = numbers(content[0], (-1, 21, 3), f"{path}, the joints") * form.axes
    vertices = numbers(content[1], (-1, 778, 3), f"{path}, the meshes") * form.axes
    if len(joints) != len(vertices):
        raise FileError(f"{path} holds {len(joints)} hands of joints but {len(vertices)} meshes.")
    return Predictions(joints=joints[:, form.order], vertices=vertices)
