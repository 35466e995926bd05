"""COCO-WholeBody (Jin et al., ECCV 2020): hands of the people in COCO's photos, in the picture's plane.

`annotations/coco_wholebody_SPLIT_v1.0.json`, or the file beside the folders `train2017` and `val2017`. An annotation
is a person with `lefthand_kpts`, `lefthand_box`, `lefthand_valid`, and likewise on the right, in our own order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from recon.data.coco import CocoTable, FlatHand, FlatReader, corners, hand_points
from recon.data.layout import entry


class CocoWholeBody(FlatReader):
    """COCO-WholeBody, all photos of the split; those without a valid hand come empty."""

    name: ClassVar[str] = "coco-wholebody"
    splits: ClassVar[tuple[str, ...]] = ("train", "val")
    licence: ClassVar[str] = "non-commercial research only, https://github.com/jin-s13/COCO-WholeBody"

    def _table_file(self) -> Path:
        name = f"coco_wholebody_{self.split}_v1.0.json"
        beside = self.root / name
        return beside if beside.exists() else self.root / "annotations" / name

    def _folder(self) -> str:
        return f"{self.split}2017"

    def _hands_of(self, table: CocoTable, picture: int, row: dict[str, Any]) -> list[FlatHand]:
        what, hands = table.what(picture, row), []
        for side in ("left", "right"):
            if not entry(row, f"{side}hand_valid", what):
                continue
            points = hand_points(entry(row, f"{side}hand_kpts", what), f"{what}: {side}hand_kpts")
            box = corners(entry(row, f"{side}hand_box", what), f"{what}: {side}hand_box")
            if points[:, 2].any():
                hands.append(FlatHand(picture, side == "right", points, box))
        return hands
