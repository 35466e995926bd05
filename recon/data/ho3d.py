"""HO-3D v2 and v3 (Hampali et al., CVPR 2020): a right hand with an object, 640 x 480, as its makers unpack it.

`SPLIT.txt` lists pictures as `SEQUENCE/ID`; beside each `SPLIT/SEQUENCE/rgb` lies `meta` with a pickle of labels. The
evaluation split's pickles know the wrist and the box alone; where the later released `evaluation_{xyz,verts}.json` lie
in the root (a row for each line of `evaluation.txt`), joints and mesh come from there.

The set's axes are OpenGL's, turned here for H2O-3D and for files of predictions too: F = diag(1, -1, -1). MANO turns
about its own root joint J0, so an orientation R becomes F R and a translation t becomes F (J0 + t) - J0; our `transl`
is where the wrist lies, F (J0 + t), which the labels give as their first joint. Joints come in MANO's order with the
tips behind, thumb to little. Poses have a flat mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from recon.data.arrays import numbers, open_table, read_picture
from recon.data.numpy_pickles import NUMPY_NAMES
from recon.data.reader import ManoBasis, Reader
from recon.data.record import Frame, HandRecord, Numbers, box_of_points, project_points
from recon.files import FileError, unpickle
from recon.hand.skeleton import MANO_TO_OPENPOSE

OPENGL_TO_OPENCV = np.array([1.0, -1.0, -1.0])
"""The diagonal of F, which turns by 180 degrees about x and is its own inverse."""
_TURN = Rotation.from_rotvec([np.pi, 0.0, 0.0])
MAX_LIST_BYTES = 64 << 20


def turned_points(points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Points in OpenGL's camera axes -> OpenCV's, and back."""
    return points * OPENGL_TO_OPENCV


def turned_orient(rotvec: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " 3"]:
    """A wrist's rotation vector in OpenGL's camera axes -> OpenCV's, and back."""
    return (_TURN * Rotation.from_rotvec(rotvec)).as_rotvec()


def in_our_order(joints: Float[np.ndarray, "*n 21 3"]) -> Float[np.ndarray, "*n 21 3"]:
    """MANO's 16 joints and the five tips -> wrist, thumb, index, middle, ring, little."""
    return joints[..., MANO_TO_OPENPOSE, :]


class HonnotateReader(Reader):
    """The layout that HO-3D and H2O-3D share.

    Attributes:
        suffix: of the colour pictures.
        hands: how the keys of each hand begin, and its side.
    """

    splits: ClassVar[tuple[str, ...]] = ("train", "evaluation")
    suffix: ClassVar[str]
    hands: ClassVar[Mapping[str, str]]

    def __init__(self, root: Path, split: str, mano: ManoBasis | None = None) -> None:
        super().__init__(root, split, mano)
        self._pictures = _picture_list(self.root / f"{split}.txt")

    def __len__(self) -> int:
        """Number of lines in the split's list."""
        return len(self._pictures)

    def _picture(self, index: int) -> str:
        sequence, number = self._pictures[index].split("/")
        return f"{self.split}/{sequence}/rgb/{number}.{self.suffix}"

    def file(self, index: int) -> str:
        """The picture's path."""
        return str(self.root / self._picture(index))

    def read(self, index: int) -> Frame:
        """Picture `index` with its hands; none where the object's pose was not annotated."""
        image = read_picture(Path(self.file(index)))
        sequence, number = self._pictures[index].split("/")
        labels = self.root / self.split / sequence / "meta" / f"{number}.pkl"
        content = unpickle(labels, NUMPY_NAMES)
        if not isinstance(content, dict):
            raise FileError(f"{labels} holds a {type(content).__name__}, but must hold a table of labels.")
        if _field(content, "objRot", labels) is None:
            return Frame((), "no hand is labelled")
        return Frame(tuple(self._hand(index, image, content, labels, prefix) for prefix in self.hands))

    def _hand(self, index: int, image: bytes, content: dict, labels: Path, prefix: str) -> HandRecord:
        """The hand whose keys begin with `prefix`."""

        def field(key: str, *shape: int) -> Numbers:
            return numbers(_field(content, key, labels), shape, f"{labels}[{key!r}]")

        side, intrinsics = self.hands[prefix], field("camMat", 3, 3)
        joints, vertices = self._released(index)
        known: dict[str, Any] = {}
        if self.split == "train":
            pose = field(f"{prefix}Pose", 48)
            joints = in_our_order(turned_points(field(f"{prefix}Joints3D", 21, 3)))
            known = {
                "betas": field("handBeta", 10),
                "global_orient": turned_orient(pose[:3]),
                "hand_pose": pose[3:],
            }
        keypoints = np.zeros((21, 3), np.float32)
        labelled = turned_points(field(f"{prefix}Joints3D", 3))[None] if joints is None else joints
        keypoints[: len(labelled), :2] = project_points(labelled, intrinsics)
        keypoints[: len(labelled), 2] = 1
        train = self.split == "train"
        return HandRecord(
            image=image,
            image_id=self._picture(index),
            hand=side,
            dataset=self.name,
            split=self.split,
            is_right=side == "right",
            box=box_of_points(keypoints) if train else field(f"{prefix}BoundingBox", 4),
            keypoints_2d=keypoints,
            intrinsics=intrinsics,
            joints=joints,
            transl=labelled[0],
            vertices=vertices,
            **known,
        )

    def _released(self, index: int) -> tuple[Numbers | None, Numbers | None]:
        """Joints and mesh of an evaluation picture that were released apart from its pickle."""
        return None, None


class _Ho3d(HonnotateReader):
    """What v2 and v3 share."""

    licence: ClassVar[str] = "research only, https://github.com/shreyashampali/ho3d"
    hands: ClassVar[Mapping[str, str]] = {"hand": "right"}

    def __init__(self, root: Path, split: str, mano: ManoBasis | None = None) -> None:
        super().__init__(root, split, mano)
        self._joints = self._table("xyz", 21)
        self._vertices = self._table("verts", 778)

    def _table(self, kind: str, points: int) -> Numbers | None:
        path = self.root / f"{self.split}_{kind}.json"
        if self.split == "train" or not path.exists():
            return None
        rows = open_table(path, points, 3)
        if len(rows) != len(self):
            raise FileError(f"{path} has {len(rows):,} rows, but {self.split}.txt {len(self):,} lines.")
        return turned_points(rows)

    def _released(self, index: int) -> tuple[Numbers | None, Numbers | None]:
        joints = None if self._joints is None else in_our_order(self._joints[index])
        return joints, None if self._vertices is None else self._vertices[index]


class Ho3dV2(_Ho3d):
    """HO-3D version 2, whose pictures are PNG."""

    name: ClassVar[str] = "ho3d-v2"
    suffix: ClassVar[str] = "png"

    @property
    def expected(self) -> int | None:
        """Pictures of the released split."""
        return {"train": 66_034, "evaluation": 11_524}[self.split]


class Ho3dV3(_Ho3d):
    """HO-3D version 3, whose pictures are JPEG."""

    name: ClassVar[str] = "ho3d-v3"
    suffix: ClassVar[str] = "jpg"

    @property
    def expected(self) -> int | None:
        """Pictures of the released evaluation split; the makers' own figures for the other differ."""
        return 20_137 if self.split == "evaluation" else None


def _picture_list(path: Path) -> list[str]:
    """The lines `SEQUENCE/ID` of a split's list."""
    if not path.is_file():
        raise FileError(f"{path} does not exist or is not a regular file.")
    if path.stat().st_size > MAX_LIST_BYTES:
        raise FileError(f"{path} is larger than the {MAX_LIST_BYTES:,} bytes allowed.")
    try:
        lines = path.read_text("utf-8").split()
    except UnicodeDecodeError as error:
        raise FileError(f"{path} is not UTF-8 text (byte {error.start}).") from error
    for number, line in enumerate(lines, 1):
        if not re.fullmatch(r"[\w-]+/[\w-]+", line):
            raise FileError(f"{path}, line {number} is {line[:80]!r}, but must be SEQUENCE/ID.")
    return lines


def _field(content: dict, key: str, labels: Path) -> Any:
    if key not in content:
        raise FileError(f"{labels} has no key {key!r}.")
    return content[key]
