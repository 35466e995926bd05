"""HaMeR's training tars (Pavlakos et al., CVPR 2024): the mixture of ten data sets in one form.

`NAME-train/000000.tar ...`: WebDataset tars of pairs `KEY.jpg` and `KEY.data.pyd`, a pickled list with a dict for each
hand. The tars are indexed by their headers when the set is opened and then read in place; nothing is extracted.

Poses are rotation vectors around the flat hand, a left hand's of the left model; boxes are the set's own (`center`,
`scale` x 200 pixels). The tars name no camera, so `intrinsics` are None. Some of their 3D joints lie in the camera
frame and some relative to the wrist, and nothing says which: only joints that are all labelled and all in front of the
camera are taken (the root of relative ones has z = 0), the others are None while the pose and the shape stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from recon.data.arrays import numbers
from recon.data.numpy_pickles import NUMPY_NAMES
from recon.data.reader import ManoBasis, Reader
from recon.data.record import Frame, HandRecord
from recon.files import FileError, open_image, unpickle
from recon.tars import TarLimits, TarMember, read_member, tar_members

PICTURES = ("jpg", "jpeg", "png")
LABELS = "data.pyd"
SCALE = 200
"""Pixels in one unit of `scale`."""
EXPECTED = {"freihand": 130_240, "ho3d": 83_325, "dex": 406_888}
"""Pictures of the sets that show one hand in each; of the others only the number of hands is documented."""
LIMITS = TarLimits(members=1_000_000, member_bytes=64 << 20)
MISSING = TarMember("", 0, -1)


def _array_of_bytes(data: bytes | bytearray, dtype: np.dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    """Stands in for what numpy's pickles of protocol 5 call: plain numbers from bytes that are as many as they need."""
    if not isinstance(dtype, np.dtype) or dtype.kind not in "biuf" or order not in ("C", "F"):
        raise FileError(f"A pickle holds an array of {dtype}, which is not allowed.")
    return np.frombuffer(data, dtype).reshape(shape, order=order)  # type: ignore[call-overload]


NAMES: Mapping[tuple[str, str], object] = {
    **NUMPY_NAMES,
    ("numpy.core.numeric", "_frombuffer"): _array_of_bytes,
    ("numpy._core.numeric", "_frombuffer"): _array_of_bytes,
}
"""What a list of labels may ask for."""


class HamerTars(Reader):
    """One data set of the mixture; the splits are their names in the tars."""

    name: ClassVar[str] = "hamer"
    splits: ClassVar[tuple[str, ...]] = (
        "freihand",
        "interhand26m",
        "ho3d",
        "h2o3d",
        "dex",
        "mtc",
        "rhd",
        "cocow",
        "halpe",
        "mpiinzsl",
    )
    licence: ClassVar[str] = "that of each data set in the mixture, see https://github.com/geopavlakos/hamer"

    def __init__(self, root: Path, split: str, mano: ManoBasis | None = None) -> None:
        """Open and index the tars of a set; arguments and errors as `Reader`."""
        super().__init__(root, split, mano)
        folder = self.root / f"{split}-train"
        self._tars = sorted(folder.glob("*.tar"))
        if not self._tars:
            raise FileError(f"{folder} holds no tar; give the folder that holds the folders NAME-train of the tars.")
        self._keys: list[str] = []
        places: list[tuple[int, int, int, int, int]] = []
        for number, tar in enumerate(self._tars):
            for key, (picture, labels) in _pairs(tar).items():
                self._keys.append(key)
                places.append((number, picture.offset, picture.size, labels.offset, labels.size))
        self._places = np.array(places, np.int64).reshape(-1, 5)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def expected(self) -> int | None:
        """Pictures of the set in the mixture, where each shows one hand."""
        return EXPECTED.get(self.split)

    def file(self, index: int) -> str:
        """The tar and the key in it."""
        return f"{self._tars[self._places[index, 0]]}, {self._keys[index]}"

    def read(self, index: int) -> Frame:
        """Picture `index` with the hands of its list."""
        number, *spans = (int(value) for value in self._places[index])
        tar, name = self._tars[number], self.file(index)
        for what, size in (("picture", spans[1]), (LABELS, spans[3])):
            if size < 0:
                raise FileError(f"{name} has no {what}.")
        image = read_member(tar, TarMember(self._keys[index], *spans[:2]))
        open_image(image, name=name)
        labels_name = f"{name}.{LABELS}"
        labels = unpickle(read_member(tar, TarMember(labels_name, *spans[2:])), NAMES, name=labels_name)
        if not isinstance(labels, list):
            raise FileError(f"{labels_name} holds a {type(labels).__name__}; it must hold a list of hands.")
        image_id = f"{tar.stem}/{self._keys[index]}"
        hands = tuple(
            self._hand(image, image_id, str(hand), entry, f"{labels_name}, hand {hand}")
            for hand, entry in enumerate(labels)
        )
        return Frame(hands, "" if hands else "no hand is labelled")

    def _hand(self, image: bytes, image_id: str, hand: str, entry: Any, name: str) -> HandRecord:
        if not isinstance(entry, dict):
            raise FileError(f"{name} is a {type(entry).__name__}; it must be a table of labels.")

        def array(key: str, *shape: int) -> np.ndarray:
            return numbers(_entry(entry, key, name), shape, f"{name}: {key!r}")

        center, half = array("center", 2), array("scale", 2) * SCALE / 2
        if not (half > 0).all():
            raise FileError(f"{name}: 'scale' is {(half * 2 / SCALE).tolist()}; it must be above 0.")
        joints = array("keypoints_3d", 21, -1)
        if joints.shape[1] not in (3, 4):
            raise FileError(f"{name}: 'keypoints_3d' has the shape {list(joints.shape)}; it must be [21, 4].")
        in_camera = bool((joints[:, 2:] > 0).all())  # depth, and the confidence where there is one
        posed = _flag(entry, "has_hand_pose", name)
        pose = array("hand_pose", 48) if posed else None
        return HandRecord(
            image=image,
            image_id=image_id,
            hand=hand,
            dataset=self.name,
            split=self.split,
            is_right=_flag(entry, "right", name),
            box=np.concatenate((center - half, center + half)),
            keypoints_2d=array("keypoints_2d", 21, 3),
            joints=joints[:, :3] if in_camera else None,
            betas=array("betas", 10) if _flag(entry, "has_betas", name) else None,
            global_orient=None if pose is None else pose[:3],
            hand_pose=None if pose is None else pose[3:],
            transl=joints[0, :3] if in_camera else None,
        )


def _pairs(tar: Path) -> dict[str, tuple[TarMember, TarMember]]:
    """Key -> picture and labels, by the rule of WebDataset: a key is a path up to the first dot of the file's name."""
    pictures: dict[str, TarMember] = {}
    labels: dict[str, TarMember] = {}
    for member in tar_members(tar, LIMITS):
        folder, slash, file = member.name.rpartition("/")
        stem, _, suffix = file.partition(".")
        found = pictures if suffix in PICTURES else labels if suffix == LABELS else None
        if found is None:
            continue
        key = folder + slash + stem
        if key in found:
            raise FileError(f"{tar} holds {member.name} twice.")
        found[key] = member
    keys = dict.fromkeys([*pictures, *labels])
    return {key: (pictures.get(key, MISSING), labels.get(key, MISSING)) for key in keys}


def _entry(entry: dict[Any, Any], key: str, name: str) -> Any:
    if key not in entry:
        raise FileError(f"{name} has no {key!r}.")
    return entry[key]


def _flag(entry: dict[Any, Any], key: str, name: str) -> bool:
    """A yes or no, which the tars write as a number or as an array of one."""
    value = np.asarray(_entry(entry, key, name))
    if value.dtype.kind not in "biuf" or value.size != 1:
        raise FileError(f"{name}: {key!r} must be 0 or 1.")
    return bool(value.reshape(()) > 0)
