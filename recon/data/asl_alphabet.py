"""The ASL alphabet (a public set of photos of finger spelling): a folder for each letter, and no labels but its name.

`asl_alphabet_train/asl_alphabet_train/{A..Z,del,nothing,space}/*.jpg`, with the outer folder or without it, and
`asl_alphabet_test/asl_alphabet_test/A_test.jpg`. The hand is somewhere in the 200 x 200 picture: the box is all of it.
There is no 3D and no side; poses come from an estimator (paper 000, D). The photos of `nothing` show no hand.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import ClassVar

import numpy as np

from recon.data.reader import ManoBasis, Reader
from recon.data.record import Frame, HandRecord
from recon.files import FileError, open_image

EMPTY = "nothing"
SIGNS = {
    **{letter: f"the ASL letter {letter}" for letter in string.ascii_uppercase},
    "del": "the ASL sign for delete",
    "space": "the ASL sign for space",
}
"""Folder -> caption."""
SUFFIXES = (".jpg", ".jpeg", ".png")
EXPECTED = {"train": 87_000, "test": 28}


class AslAlphabet(Reader):
    """Both splits; `keypoints_2d` has no labelled joint."""

    name: ClassVar[str] = "asl-alphabet"
    splits: ClassVar[tuple[str, ...]] = ("train", "test")
    licence: ClassVar[str] = "GPL-2.0, https://www.kaggle.com/datasets/grassknoted/asl-alphabet"

    def __init__(self, root: Path, split: str, mano: ManoBasis | None = None) -> None:
        """List the photos of a split; arguments and errors as `Reader`, and a folder that is no sign is one."""
        super().__init__(root, split, mano)
        folder = self.root / f"asl_alphabet_{split}"
        inner = folder / folder.name
        self._folder = inner if inner.is_dir() else folder
        if not self._folder.is_dir():
            raise FileError(f"{folder} does not exist; give the folder that holds asl_alphabet_train.")
        found = self._by_folder() if split == "train" else self._by_name()
        self._signs = [sign for sign, _ in found]
        self._files = [str(path.relative_to(self._folder)) for _, path in found]

    def _by_folder(self) -> list[tuple[str, Path]]:
        folders = sorted(path for path in self._folder.iterdir() if path.is_dir())
        return [(self._sign(path.name, path), photo) for path in folders for photo in _photos(path)]

    def _by_name(self) -> list[tuple[str, Path]]:
        return [(self._sign(path.stem.removesuffix("_test"), path), path) for path in _photos(self._folder)]

    @staticmethod
    def _sign(name: str, path: Path) -> str:
        if name not in SIGNS and name != EMPTY:
            raise FileError(f"{path} is no sign of the alphabet; allowed are A to Z, del, nothing and space.")
        return name

    def __len__(self) -> int:
        return len(self._files)

    @property
    def expected(self) -> int | None:
        """3,000 photos of each of 29 signs, and one of each but `del`."""
        return EXPECTED[self.split]

    def file(self, index: int) -> str:
        """The photo."""
        return str(self._folder / self._files[index])

    def read(self, index: int) -> Frame:
        """Photo `index`."""
        path = Path(self.file(index))
        width, height = open_image(path).size
        sign = self._signs[index]
        if sign == EMPTY:
            return Frame((), "the photo is labelled as showing no hand")
        hand = HandRecord(
            image=path.read_bytes(),
            image_id=Path(self._files[index]).as_posix(),
            hand="0",
            dataset=self.name,
            split=self.split,
            is_right=None,
            box=np.array([0.0, 0.0, width, height]),
            keypoints_2d=np.zeros((21, 3)),
            caption=SIGNS[sign],
        )
        return Frame((hand,))


def _photos(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
