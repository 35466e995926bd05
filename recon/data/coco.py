"""COCO's JSON form: `images` and `annotations` that name their image, and hands labelled in the picture alone."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from recon.data.arrays import MAX_TABLE_BYTES, numbers, read_picture
from recon.data.layout import entry, identifier, mapping, relative_name, rows
from recon.data.reader import ManoBasis, Reader
from recon.data.record import Frame, HandRecord, box_of_points
from recon.files import FileError, open_json


@dataclass(frozen=True)
class CocoTable:
    """Pictures and annotations of one file."""

    path: Path
    description: str
    """Of `info`: which data set it says it is; empty without one."""
    images: tuple[dict[str, Any], ...]
    files: tuple[str, ...]
    """Name of each picture."""
    annotations: tuple[tuple[int, dict[str, Any]], ...]
    """Picture and row of each annotation, in the order of the pictures."""

    @classmethod
    def open(cls, path: Path) -> CocoTable:
        """Read a file.

        Raises:
            FileError: missing, not JSON, a key missing, or an annotation whose image is not in it.
        """
        table = open_json(path, max_bytes=MAX_TABLE_BYTES)
        images = tuple(mapping(row, f"{path}: an image") for row in rows(table, "images", str(path)))
        place = {identifier(row, "id", f"{path}: an image"): index for index, row in enumerate(images)}
        files = [relative_name(entry(row, "file_name", f"{path}: an image"), str(path)) for row in images]
        found = []
        for row in rows(table, "annotations", str(path)):
            number = identifier(row, "image_id", f"{path}: an annotation")
            if number not in place:
                raise FileError(f"{path} annotates image {number!r}, which it does not list.")
            found.append((place[number], row))
        info = table.get("info")
        description = info.get("description", "") if isinstance(info, dict) else ""
        return cls(path, str(description), images, tuple(files), tuple(sorted(found, key=lambda pair: pair[0])))  # type: ignore[arg-type]

    def what(self, picture: int, row: dict[str, Any]) -> str:
        """How messages call an annotation."""
        return f"{self.path}: annotation {row.get('id', 'without an id')} of {self.files[picture]}"


@dataclass(frozen=True)
class FlatHand:
    """A hand labelled in the picture's plane."""

    picture: int
    is_right: bool
    keypoints: Float[np.ndarray, "21 3"]
    box: Float[np.ndarray, " 4"]


def labelled_points(values: Any, what: str) -> Float[np.ndarray, "n 3"]:
    """Keypoints as COCO lists them, x, y and visibility in one row; where that is 0 there is no label.

    COCO writes 1 for a hidden point and 2 for a seen one, others a score up to 1: both become a confidence up to 1.

    Raises:
        FileError: not such a list.
    """
    points = numbers(values, (-1,), what)
    if len(points) % 3:
        raise FileError(f"{what} has {len(points)} numbers; it must be x, y and visibility of each keypoint.")
    points = points.reshape(-1, 3)
    confidence = np.clip(points[:, 2:], 0, 1)
    return np.concatenate((np.where(confidence > 0, points[:, :2], 0), confidence), axis=1)


def hand_points(values: Any, what: str) -> Float[np.ndarray, "21 3"]:
    """`labelled_points` of a hand.

    Raises:
        FileError: not 21 of them.
    """
    points = labelled_points(values, what)
    if len(points) != 21:
        raise FileError(f"{what} has {len(points)} keypoints; a hand has 21.")
    return points


def corners(box: Any, what: str) -> Float[np.ndarray, " 4"]:
    """x, y, width, height -> x0, y0, x1, y1."""
    x, y, width, height = numbers(box, (4,), what)
    return np.array([x, y, x + width, y + height])


class FlatReader(Reader):
    """A set of photos with people, some of whose hands are labelled in the picture's plane: no 3D, no camera."""

    def __init__(self, root: Path, split: str, mano: ManoBasis | None = None) -> None:
        super().__init__(root, split, mano)
        table = CocoTable.open(self._table_file())
        hands = [hand for picture, row in table.annotations for hand in self._hands_of(table, picture, row)]
        self._files = table.files
        self._picture = np.array([hand.picture for hand in hands], np.int64)
        self._is_right: Bool[np.ndarray, " n"] = np.array([hand.is_right for hand in hands], bool)
        self._keypoints = np.array([hand.keypoints for hand in hands], np.float32).reshape(-1, 21, 3)
        self._boxes = np.array([hand.box for hand in hands], np.float32).reshape(-1, 4)

    @abstractmethod
    def _table_file(self) -> Path:
        """The split's annotations."""

    @abstractmethod
    def _folder(self) -> str:
        """Where the split's pictures lie below the root."""

    @abstractmethod
    def _hands_of(self, table: CocoTable, picture: int, row: dict[str, Any]) -> list[FlatHand]:
        """The labelled hands of an annotation."""

    def __len__(self) -> int:
        """Number of pictures, those without a hand among them."""
        return len(self._files)

    def file(self, index: int) -> str:
        """The picture's path."""
        return str(self.root / self._folder() / self._files[index])

    def read(self, index: int) -> Frame:
        """Picture `index` with the labelled hands of everyone in it, numbered in the file's order."""
        first, last = np.searchsorted(self._picture, [index, index + 1])
        if first == last:
            return Frame((), "no hand is labelled")
        image = read_picture(Path(self.file(index)))
        return Frame(
            tuple(
                HandRecord(
                    image=image,
                    image_id=f"{self._folder()}/{self._files[index]}",
                    hand=str(number - first),
                    dataset=self.name,
                    split=self.split,
                    is_right=bool(self._is_right[number]),
                    box=self._boxes[number],
                    keypoints_2d=self._keypoints[number],
                )
                for number in range(first, last)
            )
        )


def flat_hand(picture: int, is_right: bool, points: Float[np.ndarray, "21 3"]) -> FlatHand:
    """A hand whose set has no box of its own: around the labelled keypoints."""
    return FlatHand(picture, is_right, points, box_of_points(points))
