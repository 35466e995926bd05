"""InterHand2.6M (Moon et al., ECCV 2020): one or two hands before many cameras, in the JSON files of its makers.

`annotations/SPLIT/InterHand2.6M_SPLIT_{data,camera,joint_3d}.json` and `images/SPLIT/FILE_NAME`. Joints are in world
millimetres, the right hand's first, each finger from tip to base and the wrist last; a camera sees
`camrot (x - campos)`. `InterHand2.6M_SPLIT_MANO_NeuralAnnot.json` is a further download: pose in world axes as a
difference from MANO's mean, with it or without.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import roma
import torch
from jaxtyping import Float

from recon.data.arrays import MAX_TABLE_BYTES, numbers, read_picture
from recon.data.layout import entry, identifier, mapping, relative_name, rows
from recon.data.reader import ManoBasis, Reader
from recon.data.record import Frame, HandRecord, Numbers, box_of_points, project_points
from recon.files import FileError, open_json

OPENPOSE = np.array([20, *(4 * finger + part for finger in range(5) for part in (3, 2, 1, 0))])
"""Where each of our joints stands among a hand's 21."""
SIDES = (("right", 0), ("left", 21))
"""Sides and where their joints begin."""
MIRROR = np.tile([1.0, -1.0, -1.0], 15)
"""Turns the mean pose of MANO's right hand into the left one's."""


@dataclass(frozen=True)
class _Camera:
    """One camera of a capture."""

    rotation: Float[np.ndarray, "3 3"]
    position: Float[np.ndarray, " 3"]
    """World millimetres."""
    intrinsics: Float[np.ndarray, "3 3"]

    def from_world(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """World millimetres to metres in the camera's frame."""
        return (points - self.position) @ self.rotation.T / 1000


class InterHand(Reader):
    """InterHand2.6M, at 5 or 30 frames a second; hands that share a picture are records of their own.

    A hand with joints that are not valid keeps the valid ones as keypoints and has no `joints`.
    """

    name: ClassVar[str] = "interhand26m"
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")
    licence: ClassVar[str] = "CC BY-NC 4.0, https://mks0601.github.io/InterHand2.6M"
    needs_mano: ClassVar[bool] = True

    def __init__(self, root: Path, split: str, mano: ManoBasis | None = None) -> None:
        super().__init__(root, split, mano)
        self._cameras = _cameras(self._table_file("camera"))
        moments, self._world = _joints(self._table_file("joint_3d"))
        self._mano_rows, self._mano = _mano(self._table_file("MANO_NeuralAnnot"))
        path = self._table_file("data")
        table = open_json(path, max_bytes=MAX_TABLE_BYTES)
        annotations = {
            identifier(row, "image_id", f"{path}: an annotation"): row for row in rows(table, "annotations", str(path))
        }
        self._files: list[str] = []
        self._keys: list[tuple[str, str, str]] = []
        """Capture, camera and frame of each picture."""
        moment_of, valid, boxes = [], [], []
        for row in rows(table, "images", str(path)):
            number, what = identifier(row, "id", f"{path}: an image"), f"{path}: an image"
            key = tuple(str(entry(row, name, what)) for name in ("capture", "camera", "frame_idx"))
            self._files.append(relative_name(entry(row, "file_name", what), f"{path}: image {number}"))
            self._keys.append((key[0], key[1], key[2]))
            if key[:2] not in self._cameras:
                raise FileError(f"{self._table_file('camera')} has no camera {key[1]} of capture {key[0]}.")
            if (key[0], key[2]) not in moments:
                raise FileError(f"{self._table_file('joint_3d')} has no frame {key[2]} of capture {key[0]}.")
            moment_of.append(moments[key[0], key[2]])
            annotation = annotations.get(number)
            what = f"{path}: the annotation of image {number}"
            valid.append([0] * 42 if annotation is None else _flat(entry(annotation, "joint_valid", what)))
            boxes.append([0, 0, 0, 0] if annotation is None else entry(annotation, "bbox", what))
        self._moment = np.array(moment_of, np.int64)
        self._valid = numbers(valid, (-1, 42), f"{path}: joint_valid") > 0 if valid else np.zeros((0, 42), bool)
        corners = numbers(boxes, (-1, 4), f"{path}: bbox") if boxes else np.zeros((0, 4))
        self._boxes = np.concatenate((corners[:, :2], corners[:, :2] + corners[:, 2:]), axis=1)

    def _table_file(self, kind: str) -> Path:
        return self.root / "annotations" / self.split / f"InterHand2.6M_{self.split}_{kind}.json"

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self._files)

    def file(self, index: int) -> str:
        """The picture's path."""
        return str(self.root / "images" / self.split / self._files[index])

    def read(self, index: int) -> Frame:
        """Picture `index` with its hands, the right one first."""
        labelled = [(side, start) for side, start in SIDES if self._valid[index, start : start + 21].any()]
        if not labelled:
            return Frame((), "no hand is labelled")
        image = read_picture(Path(self.file(index)))
        return Frame(tuple(self._hand(index, side, start, image, len(labelled)) for side, start in labelled))

    def _hand(self, index: int, side: str, start: int, image: bytes, hands: int) -> HandRecord:
        capture, camera_name, frame = self._keys[index]
        camera = self._cameras[capture, camera_name]
        order = start + OPENPOSE
        valid = self._valid[index, order]
        joints = camera.from_world(self._world[self._moment[index], order])
        keypoints = np.zeros((21, 3))
        keypoints[valid, :2] = project_points(joints[valid], camera.intrinsics)
        keypoints[valid, 2] = 1
        betas, orient, fingers = self._mano_of(capture, frame, side, camera)
        return HandRecord(
            image=image,
            image_id=f"images/{self.split}/{self._files[index]}",
            hand=side,
            dataset=self.name,
            split=self.split,
            is_right=side == "right",
            box=self._boxes[index] if hands == 1 or valid.sum() < 2 else box_of_points(keypoints),
            keypoints_2d=keypoints,
            intrinsics=camera.intrinsics,
            joints=joints if valid.all() else None,
            betas=betas,
            global_orient=orient,
            hand_pose=fingers,
            transl=joints[0] if valid[0] else None,
        )

    def _mano_of(
        self, capture: str, frame: str, side: str, camera: _Camera
    ) -> tuple[Numbers | None, Numbers | None, Numbers | None]:
        """Shape, orientation in the camera's frame, and finger pose; the last only with MANO's mean."""
        row = self._mano_rows.get((capture, frame, side))
        if row is None:
            return None, None, None
        orient, fingers, betas = np.split(self._mano[row], (3, 48))
        world = roma.rotvec_to_rotmat(torch.from_numpy(orient))
        turned = roma.rotmat_to_rotvec(torch.from_numpy(camera.rotation) @ world).numpy()
        if self.mano is None:
            return betas, turned, None
        return betas, turned, fingers + (self.mano.mean if side == "right" else self.mano.mean * MIRROR)


def _flat(valid: Any) -> Any:
    """`joint_valid` comes as 42 numbers, and as 42 lists of one."""
    return [row[0] if isinstance(row, list) and row else row for row in valid] if isinstance(valid, list) else valid


def _cameras(path: Path) -> dict[tuple[str, str], _Camera]:
    """Capture and camera -> what it sees by."""
    cameras = {}
    for capture, table in mapping(open_json(path), str(path)).items():
        what = f"{path}: capture {capture}"
        for camera in mapping(entry(table, "campos", what), f"{what}: campos"):
            place = f"{what}, camera {camera}"
            row = {
                key: numbers(entry(entry(table, key, what), camera, f"{what}: {key}"), shape, f"{place}: {key}")
                for key, shape in {"campos": (3,), "camrot": (3, 3), "focal": (2,), "princpt": (2,)}.items()
            }
            (fx, fy), (cx, cy) = row["focal"], row["princpt"]
            intrinsics = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
            cameras[capture, camera] = _Camera(row["camrot"], row["campos"], intrinsics)
    return cameras


def _joints(path: Path) -> tuple[dict[tuple[str, str], int], Float[np.ndarray, "n 42 3"]]:
    """Capture and frame -> row, and the joints of all rows in world millimetres."""
    places: dict[tuple[str, str], int] = {}
    joints: list[np.ndarray] = []
    for capture, frames in mapping(open_json(path, max_bytes=MAX_TABLE_BYTES), str(path)).items():
        for frame, row in mapping(frames, f"{path}: capture {capture}").items():
            places[capture, frame] = len(joints)
            what = f"{path}: capture {capture}, frame {frame}"
            joints.append(numbers(entry(row, "world_coord", what), (42, 3), f"{what}: world_coord"))
    return places, np.array(joints).reshape(-1, 42, 3)


def _mano(path: Path) -> tuple[dict[tuple[str, str, str], int], Float[np.ndarray, "n 58"]]:
    """Capture, frame and side -> row, and pose and shape of all rows; none without the file.

    `trans` moves MANO's origin and not the wrist, so that the wrist is taken from the joints.
    """
    if not path.exists():
        return {}, np.zeros((0, 58))
    places: dict[tuple[str, str, str], int] = {}
    found: list[np.ndarray] = []
    for capture, frames in mapping(open_json(path, max_bytes=MAX_TABLE_BYTES), str(path)).items():
        for frame, hands in mapping(frames, f"{path}: capture {capture}").items():
            for side, _ in SIDES:
                what = f"{path}: capture {capture}, frame {frame}"
                row = entry(hands, side, what)
                if row is None:
                    continue
                place = f"{what}, {side} hand"
                places[capture, frame, side] = len(found)
                pose = numbers(entry(row, "pose", place), (48,), f"{place}: pose")
                found.append(np.concatenate((pose, numbers(entry(row, "shape", place), (10,), f"{place}: shape"))))
    return places, np.array(found).reshape(-1, 58)
