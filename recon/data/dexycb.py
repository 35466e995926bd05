"""DexYCB (Chao et al., CVPR 2021): a hand grasps an object before eight cameras, 640 x 480, as its makers unpack it.

`DATE-subject-XX/SESSION/SERIAL/color_%06d.jpg` with `labels_%06d.npz` beside it; `SESSION/meta.yml` says which hand
it is and how many frames there are, `calibration` holds cameras and the subjects' shapes. Metres, OpenCV axes, our
own joint order; -1 in all joints where no hand is seen. A pose is 3 numbers of orientation, 45 coefficients of MANO's
components around its mean, and MANO's translation.

The splits are those of the set's own tools: by subject (the number in the folder's name), camera (its place among the
eight serials) and session (its place among the subject's sorted sessions, of which s0 and s3 need all 100). The left
model's mean and components are taken to be the mirrored ones of the right model, which is how MANO's are made.
"""

from __future__ import annotations

import io
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import yaml
from jaxtyping import Float
from PIL import Image

from recon.data.arrays import numbers, read_picture
from recon.data.reader import ManoBasis, Reader
from recon.data.record import Frame, HandRecord, Numbers, box_of_points
from recon.files import FileError, open_npz

SERIALS = (
    "836212060125",
    "839512060362",
    "840412060917",
    "841412060263",
    "932122060857",
    "932122060861",
    "932122061900",
    "932122062010",
)
"""The cameras, in the order that the splits count them."""
SESSIONS = 100
"""Of every subject."""
HAND_SEGMENT = 255
"""Value of the hand in `seg`; the objects have 1 to 21."""
MAX_YAML_BYTES = 1 << 20
_MIRROR = np.tile([1.0, -1.0, -1.0], 15)
_YamlLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a thousand files: the one in C where it was built


@dataclass(frozen=True)
class _Split:
    """What belongs to a split: subjects by number, cameras by place, sessions by place among the subject's."""

    subjects: frozenset[int] = frozenset(range(1, 11))
    cameras: range = range(8)
    session: Callable[[int], bool] | None = None
    """None takes every session."""


def _last_of_five(place: int) -> bool:
    return place % 5 == 4


def _first_of_five(place: int) -> bool:
    return place % 5 != 4


def _seen_object(place: int) -> bool:
    return place // 5 % 4 != 3


def _object_to_validate(place: int) -> bool:
    return place // 5 in (3, 19)


def _object_to_test(place: int) -> bool:
    return place // 5 in (7, 11, 15)


SPLITS: Mapping[str, _Split] = {
    "s0-train": _Split(session=_first_of_five),
    "s0-val": _Split(subjects=frozenset({1, 2}), session=_last_of_five),
    "s0-test": _Split(subjects=frozenset(range(3, 11)), session=_last_of_five),
    "s1-train": _Split(subjects=frozenset({1, 2, 3, 4, 5, 6, 10})),
    "s1-val": _Split(subjects=frozenset({7})),
    "s1-test": _Split(subjects=frozenset({8, 9})),
    "s2-train": _Split(cameras=range(6)),
    "s2-val": _Split(cameras=range(6, 7)),
    "s2-test": _Split(cameras=range(7, 8)),
    "s3-train": _Split(session=_seen_object),
    "s3-val": _Split(session=_object_to_validate),
    "s3-test": _Split(session=_object_to_test),
    "all": _Split(),
}
"""s0 keeps everything known, s1 holds out subjects, s2 cameras, s3 objects (five sessions for each)."""


@dataclass(frozen=True)
class _Session:
    """A recording of one grasp by all cameras."""

    folder: str
    is_right: bool
    betas: Numbers
    frames: int


class DexYcb(Reader):
    """DexYCB, the twelve official splits and all of it."""

    name: ClassVar[str] = "dexycb"
    splits: ClassVar[tuple[str, ...]] = tuple(SPLITS)
    licence: ClassVar[str] = "CC BY-NC 4.0, https://dex-ycb.github.io"
    needs_mano: ClassVar[bool] = True

    def __init__(self, root: Path, split: str, mano: ManoBasis | None = None) -> None:
        super().__init__(root, split, mano)
        self._serials = [SERIALS[place] for place in SPLITS[split].cameras]
        self._cameras = {serial: self._camera(serial) for serial in self._serials}
        shapes: dict[str, Numbers] = {}
        self._sessions = [self._session(folder, shapes) for folder in self._folders()]
        counts = [session.frames * len(self._serials) for session in self._sessions]
        self._starts = np.concatenate(([0], np.cumsum(counts, dtype=np.int64))).tolist()

    def _camera(self, serial: str) -> Numbers:
        path = self.root / "calibration" / "intrinsics" / f"{serial}_640x480.yml"
        colour = _entry(_open_yaml(path), "color", path)
        if not isinstance(colour, dict):
            raise FileError(f"{path} holds no table under 'color'.")
        values = [_entry(colour, key, path) for key in ("fx", "fy", "ppx", "ppy")]
        fx, fy, x, y = numbers(values, (4,), f"{path}['color']")
        return np.array([[fx, 0, x], [0, fy, y], [0, 0, 1]])

    def _folders(self) -> list[str]:
        """The split's sessions as paths in the root."""
        wanted = SPLITS[self.split]
        subjects = sorted(path for path in self.root.iterdir() if re.fullmatch(r"\d{8}-subject-\d\d", path.name))
        if not subjects:
            raise FileError(f"{self.root} holds no folder DATE-subject-XX.")
        folders = []
        for subject in subjects:
            if int(subject.name[-2:]) not in wanted.subjects:
                continue
            sessions = sorted(path for path in subject.iterdir() if path.is_dir())
            if wanted.session and len(sessions) != SESSIONS:
                raise FileError(f"{subject} has {len(sessions)} sessions, but {self.split} needs all {SESSIONS}.")
            chosen = [path for place, path in enumerate(sessions) if wanted.session is None or wanted.session(place)]
            folders += [f"{subject.name}/{path.name}" for path in chosen]
        return folders

    def _session(self, folder: str, shapes: dict[str, Numbers]) -> _Session:
        """A session by its `meta.yml`; `shapes` keeps the calibrations that several share."""
        path = self.root / folder / "meta.yml"
        meta = _open_yaml(path)
        side, calibration = _first(meta, "mano_sides", path), _first(meta, "mano_calib", path)
        frames = _entry(meta, "num_frames", path)
        if side not in ("right", "left"):
            raise FileError(f"{path} has 'mano_sides' {side!r}; it must be right or left.")
        if not isinstance(frames, int) or isinstance(frames, bool) or frames < 0:
            raise FileError(f"{path} has 'num_frames' {frames!r}; it must be a whole number.")
        if calibration not in shapes:
            file = self.root / "calibration" / f"mano_{calibration}" / "mano.yml"
            shapes[calibration] = numbers(_entry(_open_yaml(file), "betas", file), (10,), f"{file}['betas']")
        return _Session(folder, side == "right", shapes[calibration], frames)

    def __len__(self) -> int:
        """Number of pictures: frames x cameras of the sessions."""
        return self._starts[-1]

    def _place(self, index: int) -> tuple[_Session, str, int]:
        """Session, camera and frame of picture `index`."""
        place = bisect_right(self._starts, index) - 1
        session = self._sessions[place]
        camera, frame = divmod(index - self._starts[place], session.frames)
        return session, self._serials[camera], frame

    def _picture(self, index: int) -> str:
        session, serial, frame = self._place(index)
        return f"{session.folder}/{serial}/color_{frame:06d}.jpg"

    def file(self, index: int) -> str:
        """The picture's path."""
        return str(self.root / self._picture(index))

    def read(self, index: int) -> Frame:
        """Picture `index` with its hand; none where the hand is not in the picture."""
        session, serial, frame = self._place(index)
        image = read_picture(Path(self.file(index)))
        path = self.root / session.folder / serial / f"labels_{frame:06d}.npz"
        shapes = {"pose_m": (1, 51), "joint_3d": (1, 21, 3), "joint_2d": (1, 21, 2), "seg": (-1, -1)}
        arrays = open_npz(path, list(shapes))
        labels = {key: numbers(arrays[key], shape, f"{path}[{key!r}]") for key, shape in shapes.items()}
        joints, pixels, pose = labels["joint_3d"][0], labels["joint_2d"][0], labels["pose_m"][0]
        if (joints == -1).all():
            return Frame((), "no hand is labelled")
        keypoints = np.concatenate((pixels, np.ones((21, 1))), axis=1)
        hand = HandRecord(
            image=image,
            image_id=self._picture(index),
            hand="right" if session.is_right else "left",
            dataset=self.name,
            split=self.split,
            is_right=session.is_right,
            box=box_of_points(keypoints),
            keypoints_2d=keypoints,
            intrinsics=self._cameras[serial],
            joints=joints,
            betas=session.betas,
            global_orient=pose[:3],
            hand_pose=None if self.mano is None else _fingers(pose[3:48], self.mano, session.is_right),
            transl=joints[0],
            mask=_png(labels["seg"] == HAND_SEGMENT),
        )
        return Frame((hand,))


def _fingers(coefficients: Float[np.ndarray, " 45"], mano: ManoBasis, is_right: bool) -> Float[np.ndarray, " 45"]:
    """Rotation vectors from coefficients of MANO's components around its mean."""
    pose = coefficients @ mano.components + mano.mean
    return pose if is_right else pose * _MIRROR


def _png(mask: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(buffer, "PNG")
    return buffer.getvalue()


def _open_yaml(path: Path) -> dict[str, Any]:
    """A small YAML table.

    Raises:
        FileError: missing, large, damaged, or no table.
    """
    if not path.is_file():
        raise FileError(f"{path} does not exist or is not a regular file.")
    if path.stat().st_size > MAX_YAML_BYTES:
        raise FileError(f"{path} is larger than the {MAX_YAML_BYTES:,} bytes allowed.")
    try:
        content = yaml.load(path.read_text("utf-8"), Loader=_YamlLoader)
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError) as error:
        raise FileError(f"{path} is not usable YAML: {str(error).splitlines()[0]}.") from error
    if not isinstance(content, dict):
        raise FileError(f"{path} holds no table.")
    return content


def _entry(table: dict[str, Any], key: str, path: Path) -> Any:
    if key not in table:
        raise FileError(f"{path} has no key {key!r}.")
    return table[key]


def _first(table: dict[str, Any], key: str, path: Path) -> str:
    """The only entry of a list of names."""
    values = _entry(table, key, path)
    if not isinstance(values, list) or len(values) != 1 or not isinstance(values[0], str):
        raise FileError(f"{path} has {key!r} {values!r}; it must list one name.")
    return values[0]
