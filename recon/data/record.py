"""The one record that every data set is read into: a hand in a picture, and what is known of it.

Metres, pixels, radians; OpenCV camera axes; joints in the OpenPose order; poses with a flat mean. A reader turns its
data set into this, and nothing downstream knows which one it was. What a set does not label is None: no loss sees it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Features, Image, List, Value
from jaxtyping import Float

from recon.files import FileError


def floats(*shape: int) -> Any:
    """The column of arrays of a shape."""
    feature: Any = Value("float32")
    for length in reversed(shape):
        feature = List(feature, length=length)
    return feature


FEATURES = Features(
    {
        "sample_id": Value("string"),
        "image": Image(),
        "image_id": Value("string"),
        "dataset": Value("string"),
        "split": Value("string"),
        "is_right": Value("bool"),
        "box": floats(4),
        "intrinsics": floats(3, 3),
        "keypoints_2d": floats(21, 3),
        "joints": floats(21, 3),
        "betas": floats(10),
        "global_orient": floats(3),
        "hand_pose": floats(45),
        "transl": floats(3),
        "vertices": floats(778, 3),
        "mask": Image(),
        "caption": Value("string"),
    }
)

COLUMNS = {
    "sample_id": "data set, split, picture and hand: unique",
    "image": "the photo as the data set ships it, encoded",
    "image_id": "the photo's path in the data set, or its key in a tar",
    "dataset": "name of the reader",
    "split": "train, validation, test or evaluation, as the set calls it",
    "is_right": "side of the hand; null where the set does not say",
    "box": "x0, y0, x1, y1 around the hand, pixels",
    "intrinsics": "camera matrix [3][3], pixels",
    "keypoints_2d": "21 joints: x, y in pixels, confidence; 0 where not labelled",
    "joints": "21 joints in the camera frame, metres; wrist, thumb, index, middle, ring, little, base to tip",
    "betas": "MANO shape [10]",
    "global_orient": "rotation vector of the wrist in the camera frame [3], radians; a left hand's of the left model",
    "hand_pose": "rotation vectors of the 15 finger joints [45], MANO's order, flat mean; likewise",
    "transl": "where the wrist joint lies in the camera frame [3], metres",
    "vertices": "MANO's 778 vertices in the camera frame, metres",
    "mask": "255 on the hand",
    "caption": "a sentence about the picture",
}

SHAPES: dict[str, tuple[int, ...]] = {
    "box": (4,),
    "intrinsics": (3, 3),
    "keypoints_2d": (21, 3),
    "joints": (21, 3),
    "betas": (10,),
    "global_orient": (3,),
    "hand_pose": (45,),
    "transl": (3,),
    "vertices": (778, 3),
}
"""Of the fields that are arrays."""
METRIC = ("joints", "transl", "vertices")
"""Fields in metres, in the camera frame: without them there is no 3D loss."""
Numbers = Float[np.ndarray, "..."]
"""An array whose shape stands in `SHAPES`."""
LARGEST = 100.0
"""Metres: further away, something is in the wrong unit."""


@dataclass(frozen=True)
class HandRecord:
    """One hand in one picture.

    Raises:
        FileError: an array of the wrong shape, numbers that are not finite, or a hand beyond `LARGEST`.
    """

    image: bytes
    """The encoded picture, PNG, JPEG or WEBP."""
    image_id: str
    hand: str
    """Which hand of the picture: "right", "left", or a number."""
    dataset: str
    split: str
    is_right: bool | None
    box: Numbers
    keypoints_2d: Numbers
    intrinsics: Numbers | None = None
    joints: Numbers | None = None
    betas: Numbers | None = None
    global_orient: Numbers | None = None
    hand_pose: Numbers | None = None
    transl: Numbers | None = None
    vertices: Numbers | None = None
    mask: bytes | None = None
    caption: str | None = None

    def __post_init__(self) -> None:
        """Hold every array against its shape; what readers give in doubles becomes float32."""
        for name, shape in SHAPES.items():
            value = getattr(self, name)
            if value is None:
                continue
            with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite and is refused
                array = np.asarray(value, np.float32)
            if array.shape != shape:
                raise FileError(f"{self.sample_id}: {name} has shape {list(array.shape)}; it must be {list(shape)}.")
            if not np.isfinite(array).all():
                raise FileError(f"{self.sample_id}: {name} holds numbers that are not finite.")
            if name in METRIC and np.abs(array).max() > LARGEST:
                raise FileError(
                    f"{self.sample_id}: {name} reaches {np.abs(array).max():,.0f} m; allowed are {LARGEST:g} m."
                )
            object.__setattr__(self, name, array)

    @property
    def sample_id(self) -> str:
        """Data set, split, picture and hand."""
        return f"{self.dataset}/{self.split}/{self.image_id}/{self.hand}"

    def row(self) -> dict[str, Any]:
        """As a row of `FEATURES`."""
        return {name: getattr(self, name) for name in FEATURES}


@dataclass(frozen=True)
class Frame:
    """What one picture of a data set gives: its hands, or why it has none."""

    hands: tuple[HandRecord, ...]
    empty: str = ""
    """For a picture without a labelled hand: the reason in words, "no hand is labelled"."""


def box_of_points(keypoints: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " 4"]:
    """x0, y0, x1, y1 around the points whose confidence is above 0.

    Raises:
        FileError: there is none.
    """
    seen = keypoints[keypoints[:, 2] > 0, :2]
    if not len(seen):
        raise FileError("no keypoint is labelled, so the hand has no box.")
    return np.concatenate((seen.min(0), seen.max(0))).astype(np.float32)


def project_points(points: Float[np.ndarray, "n 3"], intrinsics: Float[np.ndarray, "3 3"]) -> np.ndarray:
    """Pixels [n,2] of camera-frame points by a camera matrix."""
    pixels = np.asarray(points, np.float64) @ np.asarray(intrinsics, np.float64).T
    return (pixels[:, :2] / pixels[:, 2:]).astype(np.float32)
