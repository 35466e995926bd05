"""A tree as HO-3D's archives unpack, with rendered hands in OpenGL axes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.data_sets.python2 import python2_pickle
from tests.data_sets.rebuild import ROOT_JOINT, encoded
from tests.data_sets.truth import Truth

TO_OPENPOSE = [0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20]
"""Where each of our joints stands in the set's list."""
FLIP = np.diag([1.0, -1.0, -1.0])


def write(root: Path, truths: Sequence[Truth], *, version: int = 2, released: bool = False) -> None:
    """Both splits of the same pictures; every fourth has no labels. All hands must be right ones."""
    assert all(truth.is_right for truth in truths)
    suffix, form = ("png", "PNG") if version == 2 else ("jpg", "JPEG")
    for split in ("train", "evaluation"):
        lines = []
        for index, truth in enumerate(truths):
            sequence, number = f"ABF1{index % 2}", f"{index:04d}"
            lines.append(f"{sequence}/{number}\n")
            labels = common_labels(truth, labelled=index % 4 != 3) | hand_labels(truth, "hand", split)
            write_picture(root / split / sequence, number, suffix, encoded(truth.image, form), labels)
        (root / f"{split}.txt").write_text("".join(lines))
    if released:
        for kind, rows in (("xyz", [set_joints(t) for t in truths]), ("verts", [t.vertices @ FLIP for t in truths])):
            (root / f"evaluation_{kind}.json").write_text(json.dumps([row.tolist() for row in rows]))


def write_picture(folder: Path, number: str, suffix: str, picture: bytes, labels: dict[str, Any]) -> None:
    """A picture and its pickle in a sequence's folder."""
    for name, data in ((f"rgb/{number}.{suffix}", picture), (f"meta/{number}.pkl", python2_pickle(labels))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def common_labels(truth: Truth, *, labelled: bool) -> dict[str, Any]:
    """Camera, shape and object; an object without a rotation marks a picture that was not annotated."""
    return {
        "camMat": truth.intrinsics,
        "camIDList": ["0", "1"],
        "handBeta": truth.betas,
        "objName": "021_bleach_cleanser",
        "objLabel": np.int64(12),
        "objRot": np.full((3, 1), 0.1, np.float32) if labelled else None,
        "objTrans": np.zeros(3, np.float32) if labelled else None,
    }


def hand_labels(truth: Truth, prefix: str, split: str) -> dict[str, Any]:
    """A hand's keys: all of it in training, wrist and box in evaluation."""
    if split == "evaluation":
        seen = truth.keypoints_2d[:, :2]
        box = [float(number) for number in (*(seen.min(0) - 4), *(seen.max(0) + 4))]
        return {f"{prefix}Joints3D": set_joints(truth)[0], f"{prefix}BoundingBox": box}
    root_joint = ROOT_JOINT if truth.is_right else ROOT_JOINT * [-1, 1, 1]
    orient = rotation_vector(FLIP @ rotation_matrix(truth.global_orient))
    return {
        f"{prefix}Pose": np.concatenate((orient, truth.hand_pose)),
        f"{prefix}Trans": FLIP @ truth.joints[0] - root_joint,
        f"{prefix}Joints3D": set_joints(truth),
    }


def set_joints(truth: Truth) -> np.ndarray:
    """The joints [21,3] in the set's axes and order."""
    joints = np.empty((21, 3))
    joints[TO_OPENPOSE] = truth.joints @ FLIP
    return joints


def rotation_matrix(vector: np.ndarray) -> np.ndarray:
    """Rodrigues' formula."""
    angle = np.linalg.norm(vector)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def rotation_vector(matrix: np.ndarray) -> np.ndarray:
    """The rotation vector of a matrix, from its eigenvector."""
    values, vectors = np.linalg.eig(matrix)
    axis = np.real(vectors[:, np.argmin(np.abs(values - 1))])
    odd = np.array([matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]])
    return axis * np.arctan2(odd @ axis, np.trace(matrix) - 1)
