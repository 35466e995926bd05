"""RHD, the Rendered Hand pose Dataset (Zimmermann and Brox, ICCV 2017): rendered people in 320 x 320 pictures.

`{training,evaluation}/color/%05d.png` and `SPLIT/anno_SPLIT.pickle`: picture -> `uv_vis` [42,3], `xyz` [42,3] in
metres and OpenCV axes, and `K`. The left hand comes first, the wrist before its fingers, and each of these from tip
to base.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from recon.data.arrays import numbers, read_picture
from recon.data.layout import entry, mapping
from recon.data.numpy_pickles import NUMPY_NAMES
from recon.data.reader import ManoBasis, Reader
from recon.data.record import Frame, HandRecord, box_of_points
from recon.files import FileError, unpickle

OPENPOSE = np.array([0, *(4 * finger + part for finger in range(5) for part in (4, 3, 2, 1))])
"""Where each of our joints stands among a hand's 21: base to tip out of tip to base, the wrist first."""
SIDES = (("left", 0), ("right", 21))
EXPECTED = {"training": 41_258, "evaluation": 2_728}
MAX_PICKLE_BYTES = 1 << 30


class Rhd(Reader):
    """RHD; a hand that shows no joint at all has no record.

    A joint that the picture hides is known all the same: its confidence is 0, but the box goes around it.
    """

    name: ClassVar[str] = "rhd"
    splits: ClassVar[tuple[str, ...]] = ("training", "evaluation")
    licence: ClassVar[str] = (
        "research only, https://lmb.informatik.uni-freiburg.de/resources/datasets/RenderedHandposeDataset.en.html"
    )

    def __init__(self, root: Path, split: str, mano: ManoBasis | None = None) -> None:
        super().__init__(root, split, mano)
        path = self.root / split / f"anno_{split}.pickle"
        table = mapping(unpickle(path, NUMPY_NAMES, max_bytes=MAX_PICKLE_BYTES), str(path))
        if not all(isinstance(number, int) for number in table):
            raise FileError(f"{path} must have the numbers of the pictures as keys.")
        self._numbers = sorted(table)
        columns: dict[str, list[np.ndarray]] = {"uv_vis": [], "xyz": [], "K": []}
        for number in self._numbers:
            for key, shape in (("uv_vis", (42, 3)), ("xyz", (42, 3)), ("K", (3, 3))):
                what = f"{path}: picture {number}"
                columns[key].append(numbers(entry(table[number], key, what), shape, f"{what}: {key}"))
        self._pixels = np.array(columns["uv_vis"]).reshape(-1, 42, 3)
        self._joints = np.array(columns["xyz"]).reshape(-1, 42, 3)
        self._intrinsics = np.array(columns["K"]).reshape(-1, 3, 3)

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self._numbers)

    @property
    def expected(self) -> int | None:
        """Pictures of the released split."""
        return EXPECTED[self.split]

    def _picture(self, index: int) -> str:
        return f"{self.split}/color/{self._numbers[index]:05d}.png"

    def file(self, index: int) -> str:
        """The picture's path."""
        return str(self.root / self._picture(index))

    def read(self, index: int) -> Frame:
        """Picture `index` with the hands that show at least one joint, the left one first."""
        shown = [(side, start + OPENPOSE) for side, start in SIDES if self._pixels[index, start : start + 21, 2].any()]
        if not shown:
            return Frame((), "no hand is labelled")
        image = read_picture(Path(self.file(index)))
        return Frame(tuple(self._hand(index, side, order, image) for side, order in shown))

    def _hand(self, index: int, side: str, order: np.ndarray, image: bytes) -> HandRecord:
        pixels, joints = self._pixels[index, order], self._joints[index, order]
        return HandRecord(
            image=image,
            image_id=self._picture(index),
            hand=side,
            dataset=self.name,
            split=self.split,
            is_right=side == "right",
            box=box_of_points(np.concatenate((pixels[:, :2], np.ones((21, 1))), axis=1)),
            keypoints_2d=np.concatenate((pixels[:, :2], pixels[:, 2:] > 0), axis=1),
            intrinsics=self._intrinsics[index],
            joints=joints,
            transl=joints[0],
        )
