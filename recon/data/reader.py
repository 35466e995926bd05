"""The interface of all readers: a data set on disk as a list of pictures, each read on its own into records.

A reader is cheap to open (it lists pictures and reads the set's own tables), gives picture i as a function of i alone,
and can be sent to another process. Axes, units, joint order and pose mean are turned in it and nowhere else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from recon.data.record import Frame
from recon.files import FileError


@dataclass(frozen=True)
class ManoBasis:
    """What sets need of MANO that write poses as differences from its mean, or as coefficients of its components.

    Both are in the user's own file (`handloom assets import-mano`) and never in the repository.
    """

    mean: Float[np.ndarray, " 45"]
    components: Float[np.ndarray, "45 45"]
    """Rows are directions."""


class Reader(ABC):
    """A data set on disk.

    Attributes:
        name: of the data set on the command line and in the records.
        splits: the splits that the set has, the default one first.
        licence: who may use it, in a few words with an address.
        needs_mano: whether poses are null without the user's MANO file.
    """

    name: ClassVar[str]
    splits: ClassVar[tuple[str, ...]]
    licence: ClassVar[str]
    needs_mano: ClassVar[bool] = False

    def __init__(self, root: Path, split: str, mano: ManoBasis | None = None) -> None:
        """Open a split.

        Args:
            root: the data set's folder, as its makers lay it out.
            split: one of `splits`.
            mano: pose mean and components of MANO; without them, poses that are written by them are None.

        Raises:
            FileError: a file or key of the set is missing; the message names it.
        """
        if split not in self.splits:
            raise FileError(f"{self.name} has no split {split!r}; it has {', '.join(self.splits)}.")
        if not Path(root).exists():
            raise FileError(f"{root} does not exist; give the folder of {self.name}.")
        if not Path(root).is_dir():
            raise FileError(f"{root} is a file; give the folder of {self.name}.")
        self.root, self.split, self.mano = Path(root), split, mano

    @abstractmethod
    def __len__(self) -> int:
        """Number of pictures."""

    @property
    def expected(self) -> int | None:
        """Pictures that the released split holds by its documentation; None where that is not known."""
        return None

    @abstractmethod
    def file(self, index: int) -> str:
        """Where picture `index` comes from, for messages."""

    @abstractmethod
    def read(self, index: int) -> Frame:
        """Picture `index` with its hands.

        Raises:
            FileError: a file is missing or damaged; the message names the file and the reason.
        """


READERS: dict[str, str] = {
    "freihand": "recon.data.freihand:FreiHand",
    "ho3d-v2": "recon.data.ho3d:Ho3dV2",
    "ho3d-v3": "recon.data.ho3d:Ho3dV3",
    "h2o3d": "recon.data.h2o3d:H2o3d",
    "dexycb": "recon.data.dexycb:DexYcb",
    "interhand26m": "recon.data.interhand:InterHand",
    "rhd": "recon.data.rhd:Rhd",
    "mtc": "recon.data.mtc:Mtc",
    "coco-wholebody": "recon.data.coco_wholebody:CocoWholeBody",
    "halpe": "recon.data.halpe:Halpe",
    "panoptic": "recon.data.panoptic:Panoptic",
    "mmpose": "recon.data.mmpose:Mmpose",
    "hint": "recon.data.hint:Hint",
    "hamer": "recon.data.hamer_tars:HamerTars",
    "asl-alphabet": "recon.data.asl_alphabet:AslAlphabet",
    "world": "recon.data.world:World",
}
"""Name of a data set -> its reader."""


def reader_class(name: str) -> type[Reader]:
    """The reader of a data set.

    Raises:
        FileError: there is none of this name.
    """
    if name not in READERS:
        raise FileError(f"There is no data set {name!r}; the readers are {', '.join(READERS)}.")
    module, _, symbol = READERS[name].partition(":")
    return getattr(import_module(module), symbol)
