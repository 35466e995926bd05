"""FreiHAND (Zimmermann et al., ICCV 2019): single right hands in 224 x 224 pictures, as its makers unpack it.

`training/rgb` holds every pose in four versions of its background, `training/mask` the hand once for all of them.
`SPLIT_{K,xyz,verts,mano}.json` beside the folders list one row for each pose: metres and OpenCV axes, joints in our
own order, MANO's pose as differences from its mean. The evaluation split first came with its cameras only; what of
the other tables lies there is read, and the rest is None.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from recon.data.arrays import open_table, read_picture
from recon.data.reader import ManoBasis, Reader
from recon.data.record import Frame, HandRecord, Numbers, box_of_points, project_points
from recon.files import FileError, open_image

VERSIONS = 4
"""Pictures of a training pose: green screen, harmonised, and two colourings; picture = pose + version x poses."""
EXPECTED = {"training": 130_240, "evaluation": 3_960}


class FreiHand(Reader):
    """FreiHAND, both splits."""

    name: ClassVar[str] = "freihand"
    splits: ClassVar[tuple[str, ...]] = ("training", "evaluation")
    licence: ClassVar[str] = "research only, https://lmb.informatik.uni-freiburg.de/projects/freihand/"
    needs_mano: ClassVar[bool] = True

    def __init__(self, root: Path, split: str, mano: ManoBasis | None = None) -> None:
        super().__init__(root, split, mano)
        self._intrinsics = open_table(self._table_file("K"), 3, 3)
        self._joints = self._table("xyz", 21, 3)
        self._vertices = self._table("verts", 778, 3)
        self._mano = self._table("mano", 1, 61)

    def _table_file(self, kind: str) -> Path:
        return self.root / f"{self.split}_{kind}.json"

    def _table(self, kind: str, *shape: int) -> Numbers | None:
        """A table with a row for each pose; None where the evaluation split came without it."""
        path = self._table_file(kind)
        if self.split == "evaluation" and not path.exists():
            return None
        rows = open_table(path, *shape)
        if len(rows) != len(self._intrinsics):
            raise FileError(f"{path} has {len(rows):,} rows, but {self._table_file('K')} {len(self._intrinsics):,}.")
        return rows

    def __len__(self) -> int:
        """Number of pictures: four for each training pose."""
        return len(self._intrinsics) * (VERSIONS if self.split == "training" else 1)

    @property
    def expected(self) -> int | None:
        """Pictures of the released split."""
        return EXPECTED[self.split]

    def _picture(self, index: int) -> str:
        return f"{self.split}/rgb/{index:08d}.jpg"

    def file(self, index: int) -> str:
        """The picture's path."""
        return str(self.root / self._picture(index))

    def read(self, index: int) -> Frame:
        """Picture `index` with its one hand."""
        pose = index % len(self._intrinsics)
        intrinsics = self._intrinsics[pose]
        image = read_picture(Path(self.file(index)))
        joints = None if self._joints is None else self._joints[pose]
        vertices = None if self._vertices is None else self._vertices[pose]
        keypoints = np.zeros((21, 3), np.float32)
        if joints is not None:
            keypoints = _seen(joints, intrinsics)
        if vertices is not None:
            box = box_of_points(_seen(vertices, intrinsics))
        elif joints is not None:
            box = box_of_points(keypoints)
        else:
            box = np.array([0, 0, *open_image(image, name=self.file(index)).size], np.float32)
        betas, orient, fingers = self._mano_of(pose)
        hand = HandRecord(
            image=image,
            image_id=self._picture(index),
            hand="right",
            dataset=self.name,
            split=self.split,
            is_right=True,
            box=box,
            keypoints_2d=keypoints,
            intrinsics=intrinsics,
            joints=joints,
            betas=betas,
            global_orient=orient,
            hand_pose=fingers,
            transl=None if joints is None else joints[0],
            vertices=vertices,
            mask=read_picture(self.root / f"training/mask/{pose:08d}.jpg") if self.split == "training" else None,
        )
        return Frame((hand,))

    def _mano_of(self, pose: int) -> tuple[Numbers | None, Numbers | None, Numbers | None]:
        """Shape, orientation and finger pose; the last only with the mean that it is written from."""
        if self._mano is None:
            return None, None, None
        row = self._mano[pose, 0]  # 3 orientation, 45 fingers, 10 shape, and where joint 9 lies
        return row[48:58], row[:3], None if self.mano is None else row[3:48] + self.mano.mean


def _seen(points: Numbers, intrinsics: Numbers) -> Numbers:
    """Pixels of points, all labelled: x, y, 1."""
    pixels = project_points(points, intrinsics)
    return np.concatenate((pixels, np.ones((len(pixels), 1), np.float32)), axis=1)
