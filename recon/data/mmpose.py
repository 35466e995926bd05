"""Hand sets as mmpose converts them: COCO's JSON form, a hand in each annotation, and with it what the set knows.

One `*SPLIT*.json` beside the pictures, or in `annotations`. `keypoints` are 63 numbers or 21 rows, `bbox` is x, y,
width, height, `hand_type` left or right, `joint_cam` the joints in camera millimetres; the last comes with
`cam_param` of its picture. The file's categories name joints from base to tip for every set, and that is not so: a
set keeps its own order, which is looked up here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from recon.data.arrays import numbers, read_picture
from recon.data.coco import CocoTable, corners, hand_points
from recon.data.layout import entry
from recon.data.reader import ManoBasis, Reader
from recon.data.record import Frame, HandRecord, Numbers
from recon.data.rhd import OPENPOSE as RHD_OPENPOSE
from recon.files import FileError

ORDERS = {"onehand10k": np.arange(21), "panoptic": np.arange(21), "freihand": np.arange(21), "rhd": RHD_OPENPOSE}
"""What `info` calls a set, in small letters -> where each of our joints stands in its rows."""
SIDES: dict[str | None, bool | None] = {"right": True, "left": False, None: None}


class Mmpose(Reader):
    """OneHand10K, Panoptic hands, FreiHAND or RHD in mmpose's form; the side is null where the set does not say."""

    name: ClassVar[str] = "mmpose"
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")
    licence: ClassVar[str] = "that of the converted set, https://mmpose.readthedocs.io"

    def __init__(self, root: Path, split: str, mano: ManoBasis | None = None) -> None:
        super().__init__(root, split, mano)
        self._table = table = CocoTable.open(_table_file(self.root, split))
        if table.description.lower() not in ORDERS:
            raise FileError(
                f"{table.path} says in info that it is {table.description!r}; known orders of joints are those of "
                f"{', '.join(ORDERS)}."
            )
        self._order = ORDERS[table.description.lower()]
        self._picture = np.array([picture for picture, _ in table.annotations], np.int64)

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self._table.files)

    def file(self, index: int) -> str:
        """The picture's path."""
        return str(self.root / self._table.files[index])

    def read(self, index: int) -> Frame:
        """Picture `index` with its hands, numbered in the file's order."""
        first, last = np.searchsorted(self._picture, [index, index + 1])
        rows = [row for _, row in self._table.annotations[first:last]]
        labelled = [(row, points) for row in rows if (points := self._points(index, row))[:, 2].any()]
        if not labelled:
            return Frame((), "no hand is labelled")
        image = read_picture(Path(self.file(index)))
        hands = [self._hand(index, number, row, points, image) for number, (row, points) in enumerate(labelled)]
        return Frame(tuple(hands))

    def _points(self, index: int, row: dict[str, Any]) -> Numbers:
        what = self._table.what(index, row)
        values = entry(row, "keypoints", what)
        if isinstance(values, list) and values and isinstance(values[0], list):
            values = numbers(values, (21, 3), f"{what}: keypoints").ravel()
        return hand_points(values, f"{what}: keypoints")[self._order]

    def _hand(self, index: int, number: int, row: dict[str, Any], points: Numbers, image: bytes) -> HandRecord:
        what = self._table.what(index, row)
        side = row.get("hand_type")
        if not isinstance(side, str | None) or side not in SIDES:
            raise FileError(f"{what}: hand_type is {side!r}; it must be right or left.")
        joints = None
        if "joint_cam" in row:
            joints = numbers(row["joint_cam"], (21, 3), f"{what}: joint_cam")[self._order] / 1000
        return HandRecord(
            image=image,
            image_id=self._table.files[index],
            hand=str(number),
            dataset=self.name,
            split=self.split,
            is_right=SIDES[side],
            box=corners(entry(row, "bbox", what), f"{what}: bbox"),
            keypoints_2d=points,
            intrinsics=self._intrinsics(index),
            joints=joints,
            transl=None if joints is None else joints[0],
        )

    def _intrinsics(self, index: int) -> Numbers | None:
        camera = self._table.images[index].get("cam_param")
        if camera is None:
            return None
        what = f"{self._table.path}: cam_param of {self._table.files[index]}"
        fx, fy = numbers(entry(camera, "focal", what), (2,), f"{what}: focal")
        cx, cy = numbers(entry(camera, "princpt", what), (2,), f"{what}: princpt")
        return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def _table_file(root: Path, split: str) -> Path:
    """The one JSON file whose name says the split."""
    files = sorted(path for folder in (root, root / "annotations") for path in folder.glob("*.json"))
    found = [path for path in files if split in path.stem.lower().split("_")]
    if len(found) != 1:
        names = ", ".join(path.name for path in files) or "none"
        raise FileError(
            f"{root} must hold one JSON file with {split!r} in its name, as rhd_{split}.json; it has {names}."
        )
    return found[0]
