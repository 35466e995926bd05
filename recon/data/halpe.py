"""Halpe-FullBody (Li et al., AlphaPose): 136 keypoints of people in photos of HICO-DET and COCO, hands among them.

`annotations/halpe_{train,val}_v1.json` in COCO's form; photos in `hico_20160224_det/images/train2015` and `val2017`.
The left hand is keypoints 94..114 and the right one 115..135, in our own order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from recon.data.coco import CocoTable, FlatHand, FlatReader, flat_hand, labelled_points
from recon.data.layout import entry
from recon.files import FileError

KEYPOINTS = 136
LEFT, RIGHT = slice(94, 115), slice(115, 136)


class Halpe(FlatReader):
    """Halpe-FullBody; photos without a labelled hand come empty."""

    name: ClassVar[str] = "halpe"
    splits: ClassVar[tuple[str, ...]] = ("train", "val")
    licence: ClassVar[str] = "non-commercial research only, https://github.com/Fang-Haoshu/Halpe-FullBody"

    def _table_file(self) -> Path:
        return self.root / "annotations" / f"halpe_{self.split}_v1.json"

    def _folder(self) -> str:
        return "hico_20160224_det/images/train2015" if self.split == "train" else "val2017"

    def _hands_of(self, table: CocoTable, picture: int, row: dict[str, Any]) -> list[FlatHand]:
        what = f"{table.what(picture, row)}: keypoints"
        points = labelled_points(entry(row, "keypoints", table.what(picture, row)), what)
        if len(points) != KEYPOINTS:
            raise FileError(f"{what} has {len(points)} keypoints; Halpe has {KEYPOINTS}.")
        sides = ((False, points[LEFT]), (True, points[RIGHT]))
        return [flat_hand(picture, is_right, hand) for is_right, hand in sides if hand[:, 2].any()]
