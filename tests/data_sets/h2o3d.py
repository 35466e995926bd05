"""A tree as H2O-3D's archive unpacks: HO-3D's layout with the keys of two hands."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.data_sets.ho3d import common_labels, hand_labels, write_picture
from tests.data_sets.rebuild import encoded
from tests.data_sets.truth import Truth


def write(root: Path, pairs: Sequence[tuple[Truth, Truth]]) -> None:
    """Both splits of the same pictures; every fourth has no labels. A pair is a right and a left hand of one camera."""
    for split in ("train", "evaluation"):
        lines = []
        for index, (right, left) in enumerate(pairs):
            assert right.is_right and not left.is_right and (right.intrinsics == left.intrinsics).all()
            sequence, number = f"SS{index % 2}", f"{index:04d}"
            lines.append(f"{sequence}/{number}\n")
            labels = common_labels(right, labelled=index % 4 != 3)
            labels |= hand_labels(right, "rightHand", split) | hand_labels(left, "leftHand", split)
            write_picture(root / split / sequence, number, "jpg", encoded(right.image, "JPEG"), labels)
        (root / f"{split}.txt").write_text("".join(lines))


def paired(rights: Sequence[Truth]) -> list[tuple[Truth, Truth]]:
    """Right hands, each with a left one of the same shape and camera: the right one in a mirror, moved aside."""
    turn = np.tile([1.0, -1.0, -1.0], 15)
    pairs = []
    for right in rights:
        joints = right.joints * [-1, 1, 1] + [0.03, 0.01, 0.1]
        pixels = joints @ right.intrinsics.T
        keypoints = np.column_stack((pixels[:, :2] / pixels[:, 2:], np.ones(21)))
        left = replace(
            right,
            is_right=False,
            joints=joints,
            keypoints_2d=keypoints,
            global_orient=right.global_orient * turn[:3],
            hand_pose=right.hand_pose * turn,
        )
        pairs.append((right, left))
    return pairs
