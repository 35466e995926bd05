"""Hands of Monocular Total Capture (Xiang et al., CVPR 2019): people in the CMU Panoptic dome, before 31 HD cameras.

`annotation.pkl` has `training_data` and `testing_data`, lists of people at a moment: `seqName`, `frame_str`, and
where known `left_hand` and `right_hand` with 21 `landmarks` in world centimetres, in our own order. `camera_data.pkl`
gives `R`, `t`, `K` and `distCoef` by sequence and camera; the pictures are
`hdImgs/SEQUENCE/FRAME/00_CAMERA_FRAME.jpg`, with the lens's distortion.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from recon.data.arrays import numbers, read_picture
from recon.data.layout import entry, mapping, relative_name, rows
from recon.data.numpy_pickles import NUMPY_NAMES
from recon.data.reader import ManoBasis, Reader
from recon.data.record import Frame, HandRecord, box_of_points
from recon.files import FileError, open_image, unpickle

LISTS = {"training": "training_data", "testing": "testing_data"}
SIDES = ("left", "right")
MAX_PICKLE_BYTES = 2 << 30


@dataclass(frozen=True)
class _Camera:
    """A camera of a sequence."""

    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, " 3"]
    """Centimetres."""
    intrinsics: Float[np.ndarray, "3 3"]
    distortion: Float[np.ndarray, " 5"]
    """k1, k2, p1, p2, k3 of Brown's model, as OpenCV has them; zeros are a pinhole."""

    def from_world(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """World centimetres to metres in the camera's frame."""
        return (points @ self.rotation.T + self.translation) / 100

    def pixels(self, joints: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
        """Where the lens shows points that lie in front of it."""
        x, y = (joints[:, :2] / joints[:, 2:]).T
        k1, k2, p1, p2, k3 = self.distortion
        square = x * x + y * y
        radial = 1 + square * (k1 + square * (k2 + square * k3))
        bent_x = x * radial + 2 * p1 * x * y + p2 * (square + 2 * x * x)
        bent_y = y * radial + 2 * p2 * x * y + p1 * (square + 2 * y * y)
        bent = np.stack((bent_x, bent_y, np.ones_like(x)), axis=1)
        return (bent @ self.intrinsics.T)[:, :2]


@dataclass(frozen=True)
class _Hand:
    """A person's hand at a moment."""

    side: str
    landmarks: Float[np.ndarray, "21 3"]
    """World centimetres."""


class Mtc(Reader):
    """MTC's hands in the pictures that lie on disk; people who share a picture are told apart by number.

    A joint outside the picture has confidence 0. Where the lens distorts, no camera matrix holds: `intrinsics` is None.
    """

    name: ClassVar[str] = "mtc"
    splits: ClassVar[tuple[str, ...]] = ("training", "testing")
    licence: ClassVar[str] = "non-commercial research only, http://domedb.perception.cs.cmu.edu/mtc.html"

    def __init__(self, root: Path, split: str, mano: ManoBasis | None = None) -> None:
        super().__init__(root, split, mano)
        self._cameras = _cameras(self.root / "camera_data.pkl")
        self._hands = _moments(self.root / "annotation.pkl", LISTS[split])
        self._pictures: list[tuple[str, str, str]] = []
        """Sequence, frame, and the picture's name."""
        for sequence, frame in sorted(self._hands):
            self._pictures += [(sequence, frame, name) for name in self._names(sequence, frame)]
        if not self._pictures:
            raise FileError(f"{self.root / 'hdImgs'} holds no picture of the {len(self._hands):,} annotated moments.")

    def _names(self, sequence: str, frame: str) -> list[str]:
        """Pictures of a moment, as `00_CAMERA_FRAME.jpg`; not every camera has one."""
        folder = self.root / "hdImgs" / sequence / frame
        return sorted(path.name for path in folder.iterdir() if path.suffix == ".jpg") if folder.is_dir() else []

    def __len__(self) -> int:
        """Number of pictures on disk."""
        return len(self._pictures)

    def _picture(self, index: int) -> str:
        return f"hdImgs/{'/'.join(self._pictures[index])}"

    def file(self, index: int) -> str:
        """The picture's path."""
        return str(self.root / self._picture(index))

    def _camera(self, index: int) -> _Camera:
        sequence, frame, name = self._pictures[index]
        match = re.fullmatch(rf"00_(\d+)_{re.escape(frame)}\.jpg", name)
        if match is None:
            raise FileError(f"{self.file(index)} must be named 00_CAMERA_{frame}.jpg.")
        camera = self._cameras.get((sequence, int(match[1])))
        if camera is None:
            raise FileError(f"{self.root / 'camera_data.pkl'} has no camera {int(match[1])} of {sequence}.")
        return camera

    def read(self, index: int) -> Frame:
        """Picture `index` with the hands of whoever shows a joint in it."""
        camera, path = self._camera(index), Path(self.file(index))
        image = read_picture(path)
        size = np.array(open_image(image, name=str(path)).size)
        hands = self._hands[self._pictures[index][:2]]
        found = []
        for number, hand in enumerate(hands):
            joints = camera.from_world(hand.landmarks)
            if joints[:, 2].min() <= 0:
                continue
            pixels = camera.pixels(joints)
            inside: np.ndarray = np.all((pixels >= 0) & (pixels < size), axis=1)
            if not inside.any():
                continue
            found.append(
                HandRecord(
                    image=image,
                    image_id=self._picture(index),
                    hand=str(number),
                    dataset=self.name,
                    split=self.split,
                    is_right=hand.side == "right",
                    box=box_of_points(np.concatenate((pixels, np.ones((21, 1))), axis=1)),
                    keypoints_2d=np.concatenate((pixels, inside[:, None]), axis=1),
                    intrinsics=None if camera.distortion.any() else camera.intrinsics,
                    joints=joints,
                    transl=joints[0],
                )
            )
        if found:
            return Frame(tuple(found))
        return Frame((), "no labelled hand lies in the picture" if hands else "no hand is labelled")


def _vector(value: Any, length: int, what: str) -> Float[np.ndarray, " n"]:
    """A row of numbers, or the same as a column."""
    is_column = isinstance(value, list | np.ndarray) and len(value) and np.ndim(value[0]) == 1
    return numbers(value, (length, 1) if is_column else (length,), what).ravel()


def _cameras(path: Path) -> dict[tuple[str, int], _Camera]:
    """Sequence and number -> camera."""
    cameras = {}
    table = unpickle(path, NUMPY_NAMES, max_bytes=MAX_PICKLE_BYTES)
    for sequence, numbered in mapping(table, str(path)).items():
        for number, row in mapping(numbered, f"{path}: {sequence}").items():
            what = f"{path}: {sequence}, camera {number}"
            distortion = entry(row, "distCoef", what) if "distCoef" in mapping(row, what) else np.zeros(5)
            cameras[sequence, number] = _Camera(
                rotation=numbers(entry(row, "R", what), (3, 3), f"{what}: R"),
                translation=_vector(entry(row, "t", what), 3, f"{what}: t"),
                intrinsics=numbers(entry(row, "K", what), (3, 3), f"{what}: K"),
                distortion=_vector(distortion, 5, f"{what}: distCoef"),
            )
    return cameras


def _moments(path: Path, key: str) -> dict[tuple[str, str], list[_Hand]]:
    """Sequence and frame -> the hands of everyone there."""
    moments: dict[tuple[str, str], list[_Hand]] = {}
    table: Any = unpickle(path, NUMPY_NAMES, max_bytes=MAX_PICKLE_BYTES)
    for number, person in enumerate(rows(table, key, str(path))):
        what = f"{path}: {key}[{number}]"
        sequence = relative_name(entry(person, "seqName", what), f"{what}: seqName")
        frame = relative_name(entry(person, "frame_str", what), f"{what}: frame_str")
        hands = moments.setdefault((sequence, frame), [])
        for side in SIDES:
            if person.get(f"{side}_hand") is not None:
                place = f"{what}: {side}_hand"
                landmarks = _vector(entry(person[f"{side}_hand"], "landmarks", place), 63, f"{place}: landmarks")
                hands.append(_Hand(side, landmarks.reshape(21, 3)))
    return moments
