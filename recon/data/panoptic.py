"""Hands of MPII and New Zealand Sign Language photos, labelled by hand (Simon et al., CVPR 2017).

`hand_labels/manual_{train,test}/NAME.json` beside `NAME.jpg`, a hand in each: `hand_pts` [21] of x, y and whether the
joint is labelled, in our own order, and `is_left`. A photo with two hands comes twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from recon.data.arrays import numbers, read_picture
from recon.data.layout import entry
from recon.data.reader import ManoBasis, Reader
from recon.data.record import Frame, HandRecord, box_of_points
from recon.files import FileError, open_json


class Panoptic(Reader):
    """The hands of `hand_labels` that people labelled: in the picture's plane, without a camera."""

    name: ClassVar[str] = "panoptic"
    splits: ClassVar[tuple[str, ...]] = ("train", "test")
    licence: ClassVar[str] = "non-commercial research only, http://domedb.perception.cs.cmu.edu/handdb.html"

    def __init__(self, root: Path, split: str, mano: ManoBasis | None = None) -> None:
        super().__init__(root, split, mano)
        self._folder = f"hand_labels/manual_{split}"
        folder = self.root / self._folder
        if not folder.is_dir():
            raise FileError(f"{folder} does not exist; give the folder that holds hand_labels.")
        self._names = sorted(path.stem for path in folder.glob("*.json"))
        if not self._names:
            raise FileError(f"{folder} holds no JSON files of labels.")

    def __len__(self) -> int:
        """Number of labelled hands."""
        return len(self._names)

    def file(self, index: int) -> str:
        """The picture's path."""
        return str(self.root / self._folder / f"{self._names[index]}.jpg")

    def read(self, index: int) -> Frame:
        """Picture `index` with the one hand that its labels mean."""
        path = self.root / self._folder / f"{self._names[index]}.json"
        labels = open_json(path)
        points = numbers(entry(labels, "hand_pts", str(path)), (21, 3), f"{path}: hand_pts")
        is_left = entry(labels, "is_left", str(path))
        if is_left not in (0, 1):
            raise FileError(f"{path}: is_left is {is_left!r}; it must be 0 or 1.")
        labelled = points[:, 2:] > 0
        if not labelled.any():
            return Frame((), "no hand is labelled")
        keypoints = np.concatenate((np.where(labelled, points[:, :2], 0), labelled), axis=1)
        hand = HandRecord(
            image=read_picture(Path(self.file(index))),
            image_id=f"{self._folder}/{self._names[index]}.jpg",
            hand="left" if is_left else "right",
            dataset=self.name,
            split=self.split,
            is_right=not is_left,
            box=box_of_points(keypoints),
            keypoints_2d=keypoints,
        )
        return Frame((hand,))
