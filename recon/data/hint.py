"""HInt (Pavlakos et al., CVPR 2024): hands in everyday videos with 2D keypoints, as HaMeR's evaluation reads them.

Under the root lie `hamer_evaluation_data/TEST_{SET}_img_{all,vis,occ}.npz`, one row for each hand, and the frames
`HInt_annotation_partial/TEST_{SET}_img/*.jpg`. The three tables hold the same hands and differ in the confidence of
their joints: all that are labelled, those that are seen, those that are hidden. Only the first must be there.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from recon.data.arrays import numbers, read_picture
from recon.data.reader import ManoBasis, Reader
from recon.data.record import Frame, HandRecord
from recon.files import FileError, open_npz

KEYS = ("imgname", "center", "scale", "right", "hand_keypoints_2d")
OCCLUDED = 0.75
"""Confidence of a joint that is labelled but hidden; of a seen one it is 1. Both count in scores, which ask for 0.5."""
EXPECTED = {"newdays": 1_754, "epick": 1_906, "ego4d": 1_714}


class Hint(Reader):
    """The test frames of HInt's three sources: New Days of Hands, EPIC-Kitchens VISOR and Ego4D. No 3D."""

    name: ClassVar[str] = "hint"
    splits: ClassVar[tuple[str, ...]] = ("newdays", "epick", "ego4d")
    licence: ClassVar[str] = "research only, and that of each source, https://github.com/ddshan/hint"

    def __init__(self, root: Path, split: str, mano: ManoBasis | None = None) -> None:
        """Open a source; arguments and errors as `Reader`."""
        super().__init__(root, split, mano)
        self._folder = self.root / "HInt_annotation_partial" / f"TEST_{split}_img"
        table = _Table(self._table("all"))
        self._names, self._right, self._boxes = table.names, table.right, table.boxes()
        self._points = table.points
        for kind, confidence in (("occ", OCCLUDED), ("vis", 1.0)):
            if self._table(kind).exists():
                self._points[_labelled(table, _Table(self._table(kind))), 2] = confidence
        self._pictures = list(dict.fromkeys(self._names))
        self._rows: dict[str, list[int]] = {}
        for row, name in enumerate(self._names):
            self._rows.setdefault(name, []).append(row)

    def _table(self, kind: str) -> Path:
        return self.root / "hamer_evaluation_data" / f"TEST_{self.split}_img_{kind}.npz"

    def __len__(self) -> int:
        return len(self._pictures)

    @property
    def expected(self) -> int | None:
        """Frames of the source's test folder."""
        return EXPECTED[self.split]

    def file(self, index: int) -> str:
        """The frame."""
        return str(self._folder / self._pictures[index])

    def read(self, index: int) -> Frame:
        """Frame `index` with its labelled hands."""
        name = self._pictures[index]
        image = read_picture(Path(self.file(index)))
        hands = tuple(
            HandRecord(
                image=image,
                image_id=name,
                hand=str(number),
                dataset=self.name,
                split=self.split,
                is_right=bool(self._right[row]),
                box=self._boxes[row],
                keypoints_2d=self._points[row],
            )
            for number, row in enumerate(self._rows[name])
            if (self._points[row, :, 2] > 0).any()
        )
        return Frame(hands, "" if hands else "no hand is labelled")


class _Table:
    """The rows of one npz, checked."""

    def __init__(self, path: Path) -> None:
        arrays = open_npz(path, KEYS)
        self.path = path
        texts = arrays["imgname"]
        if texts.ndim != 1 or texts.dtype.kind not in "SU":
            raise FileError(f"{path}: 'imgname' must be a list of file names.")
        self.names = [text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text) for text in texts]
        for name in self.names:
            if not name or name.startswith("/") or "\\" in name or "\0" in name or ".." in name.split("/"):
                raise FileError(f"{path}: 'imgname' names {name!r}, which is no file of the set.")
        count = len(self.names)
        self.center = numbers(arrays["center"], (count, 2), f"{path}: 'center'")
        right, scale = arrays["right"], arrays["scale"]
        right = right.astype(np.uint8) if right.dtype == bool else right
        self.right = numbers(right[:, None] if right.ndim == 1 else right, (count, 1), f"{path}: 'right'")[:, 0] > 0
        self.scale = numbers(scale[:, None] if scale.ndim == 1 else scale, (count, -1), f"{path}: 'scale'")
        self.points = numbers(arrays["hand_keypoints_2d"], (count, 21, 3), f"{path}: 'hand_keypoints_2d'")

    def boxes(self) -> np.ndarray:
        """x0, y0, x1, y1 [n,4]: `scale` is the side in pixels here, one for both axes or one for each."""
        if self.scale.shape[1] not in (1, 2) or not (self.scale > 0).all():
            raise FileError(f"{self.path}: 'scale' must be one or two sides above 0 for each hand.")
        half = np.broadcast_to(self.scale, (len(self.names), 2)) / 2
        return np.concatenate((self.center - half, self.center + half), axis=1)


def _labelled(table: _Table, part: _Table) -> np.ndarray:
    """Which joints [n,21] of a table are labelled in another that holds some of its hands.

    Raises:
        FileError: the other has a hand that the table lacks.
    """
    keys = {_key(table, row): row for row in range(len(table.names))}
    found = np.zeros(table.points.shape[:2], bool)
    for row, name in enumerate(part.names):
        here = keys.get(_key(part, row))
        if here is None:
            raise FileError(f"{part.path} has a hand in {name} that is not in {table.path.name}.")
        found[here] = part.points[row, :, 2] > 0
    return found


def _key(table: _Table, row: int) -> tuple[str, bool, float, float]:
    x, y = table.center[row]
    return table.names[row], bool(table.right[row]), round(float(x), 2), round(float(y), 2)
