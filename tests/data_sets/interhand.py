"""A tree as InterHand2.6M's archives unpack, with rendered hands before made-up world cameras."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import roma
import torch

from recon.data.reader import ManoBasis
from tests.data_sets.rebuild import LEFT, ROOT_JOINT, encoded
from tests.data_sets.truth import Truth

CAPTURE, SEQUENCE = 3, "0390_dh_touchROM"
WRIST_LAST = [4 * finger + part for finger in range(5) for part in (4, 3, 2, 1)] + [0]
"""Our joints in the order of the set: each finger tip to base, the wrist last."""


def write(
    root: Path,
    truths: Sequence[Truth],
    basis: ManoBasis | None,
    *,
    split: str = "train",
    both: dict[int, Truth] | None = None,
    empty: Sequence[int] = (),
    invalid: dict[int, Sequence[int]] | None = None,
) -> None:
    """One frame for each truth, each before a camera of its own.

    Args:
        root: folder to fill.
        truths: a hand for each frame.
        basis: mean that NeuralAnnot poses are written from; None leaves that file out.
        split: of the set.
        both: frame -> a hand of the other side in it as well.
        empty: frames none of whose joints is valid.
        invalid: frame -> joints of the first hand (our order) that are not valid.
    """
    folder = root / "annotations" / split
    folder.mkdir(parents=True)
    random = np.random.default_rng(5)
    camera: dict = {"campos": {}, "camrot": {}, "focal": {}, "princpt": {}}
    images, annotations, joints, mano = [], [], {}, {}
    for index, truth in enumerate(truths):
        name, frame = str(400026 + index), 1000 + 7 * index
        rotation = roma.random_rotmat(dtype=torch.float64).numpy()
        position = random.uniform(-900, 900, 3)
        k = truth.intrinsics
        camera["camrot"][name], camera["campos"][name] = rotation.tolist(), position.tolist()
        camera["focal"][name], camera["princpt"][name] = [k[0, 0], k[1, 1]], k[:2, 2].tolist()
        world, valid = np.ones((42, 3)), np.zeros((42, 1), int)
        hands = {"right": None, "left": None}
        seen = []
        for hand in (truth, *([both[index]] if both and index in both else [])):
            start = 0 if hand.is_right else 21
            world[start : start + 21] = (1000 * hand.joints[WRIST_LAST]) @ rotation + position
            valid[start : start + 21] = 1
            hands["right" if hand.is_right else "left"] = _mano(hand, basis, rotation, position) if basis else None
            seen.append(hand.keypoints_2d[:, :2])
        for joint in (invalid or {}).get(index, ()):
            place = (0 if truth.is_right else 21) + WRIST_LAST.index(joint)
            world[place], valid[place] = 1.0, 0
        if index in empty:
            world[:], valid[:] = 1.0, 0
        joints[str(frame)] = {"world_coord": world.tolist(), "joint_valid": (valid > 0).tolist(), "hand_type": "right"}
        mano[str(frame)] = hands
        file_name = f"Capture{CAPTURE}/{SEQUENCE}/cam{name}/image{frame}.jpg"
        (root / "images" / split / file_name).parent.mkdir(parents=True)
        (root / "images" / split / file_name).write_bytes(encoded(truth.image, "JPEG"))
        size, points = truth.image.shape[0], np.concatenate(seen)
        images.append(
            {
                "id": 50 + index, "file_name": file_name, "width": size, "height": size, "subject": 3,
                "capture": CAPTURE, "seq_name": SEQUENCE, "camera": name, "frame_idx": frame,
            }
        )  # fmt: skip
        box = [*(points.min(0) - 3).tolist(), *(np.ptp(points, axis=0) + 6).tolist()]
        annotations.append(
            {
                "id": 50 + index, "image_id": 50 + index, "bbox": box, "joint_valid": valid.tolist(),
                "hand_type": "interacting" if both and index in both else "right", "hand_type_valid": 1,
            }
        )  # fmt: skip
    annotations.reverse()  # their order is not the pictures'
    prefix = f"InterHand2.6M_{split}"
    tables = {
        "data": {"images": images, "annotations": annotations},
        "camera": {str(CAPTURE): camera},
        "joint_3d": {str(CAPTURE): joints},
    }
    if basis is not None:
        tables["MANO_NeuralAnnot"] = {str(CAPTURE): mano}
    for kind, table in tables.items():
        (folder / f"{prefix}_{kind}.json").write_text(json.dumps(table))


def _mano(hand: Truth, basis: ManoBasis, rotation: np.ndarray, position: np.ndarray) -> dict:
    """Orientation in world axes, fingers around the mean of the hand's own side, world metres of MANO's origin."""
    orient = rotation.T @ roma.rotvec_to_rotmat(torch.from_numpy(hand.global_orient)).numpy()
    mean = basis.mean if hand.is_right else basis.mean.reshape(15, 3) @ np.diag([1, -1, -1])
    wrist = hand.joints[0] @ rotation + position / 1000
    pose = [*roma.rotmat_to_rotvec(torch.from_numpy(orient)).tolist(), *(hand.hand_pose - mean.ravel()).tolist()]
    root = ROOT_JOINT if hand.is_right else ROOT_JOINT * LEFT
    return {"pose": pose, "shape": hand.betas.tolist(), "trans": (wrist - root).tolist()}
