"""A tree as DexYCB's archives unpack, with rendered hands: one session for each, seen by one of the eight cameras."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

from recon.data.reader import ManoBasis
from tests.data_sets.rebuild import ROOT_JOINT, encoded
from tests.data_sets.truth import Truth

CAMERAS = [
    "836212060125",
    "839512060362",
    "840412060917",
    "841412060263",
    "932122060857",
    "932122060861",
    "932122061900",
    "932122062010",
]


def write(root: Path, truths: Sequence[Truth], basis: ManoBasis) -> None:
    """Eight hands, four of each of two subjects; hand i is seen by camera i in frame 1 of 2, all else is empty."""
    for serial, truth in zip(CAMERAS, truths, strict=True):
        write_camera(root, serial, truth.intrinsics)
    for index, truth in enumerate(truths):
        subject = ("20200709-subject-01", "20200813-subject-02")[index // 4]
        session = root / subject / f"20200709_14{index:02d}00"
        side = "right" if truth.is_right else "left"
        calibration = f"202007{index + 10}-{subject[9:]}_{side}"
        write_meta(session, side, calibration, frames=2)
        shape = root / "calibration" / f"mano_{calibration}" / "mano.yml"
        shape.parent.mkdir(parents=True)
        shape.write_text(yaml.safe_dump({"betas": truth.betas.tolist()}))
        for camera, serial in enumerate(CAMERAS):
            (session / serial).mkdir()
            for frame in range(2):
                (session / serial / f"color_{frame:06d}.jpg").write_bytes(encoded(truth.image, "JPEG"))
                seen = camera == index and frame == 1
                labels = hand_labels(truth, basis) if seen else no_labels(truth)
                np.savez_compressed(session / serial / f"labels_{frame:06d}.npz", **labels)


def write_camera(root: Path, serial: str, intrinsics: np.ndarray) -> None:
    """A camera's file, which also knows the depth camera."""
    path = root / "calibration" / "intrinsics" / f"{serial}_640x480.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {"fx": (0, 0), "fy": (1, 1), "ppx": (0, 2), "ppy": (1, 2)}
    colour = {key: float(intrinsics[place]) for key, place in values.items()}
    path.write_text(yaml.safe_dump({"color": colour, "depth": {key: 1.0 for key in values}}))


def write_meta(session: Path, side: str, calibration: str, frames: int) -> None:
    """A session's own file."""
    session.mkdir(parents=True)
    meta = {
        "serials": CAMERAS,
        "num_frames": frames,
        "extrinsics": "20200702_151821",
        "ycb_ids": [1, 2],
        "ycb_grasp_ind": 0,
        "mano_sides": [side],
        "mano_calib": [calibration],
    }
    (session / "meta.yml").write_text(yaml.safe_dump(meta))


def hand_labels(truth: Truth, basis: ManoBasis) -> dict[str, np.ndarray]:
    """A label file's arrays; a left hand's components are the mirrored ones."""
    turn = np.tile([1, 1, 1] if truth.is_right else [1, -1, -1], 15)
    coefficients = np.linalg.solve((basis.components * turn).T, truth.hand_pose - basis.mean * turn)
    root_joint = ROOT_JOINT if truth.is_right else ROOT_JOINT * [-1, 1, 1]
    pose = np.concatenate((truth.global_orient, coefficients, truth.joints[0] - root_joint))
    return {
        "seg": np.where(truth.mask, 255, 2).astype(np.uint8),
        "pose_y": np.zeros((2, 3, 4), np.float32),
        "pose_m": pose[None].astype(np.float32),
        "joint_3d": truth.joints[None].astype(np.float32),
        "joint_2d": truth.keypoints_2d[None, :, :2].astype(np.float32),
    }


def no_labels(truth: Truth) -> dict[str, np.ndarray]:
    """A label file's arrays where no hand is seen."""
    return {
        "seg": np.zeros(truth.mask.shape, np.uint8),
        "pose_y": np.zeros((2, 3, 4), np.float32),
        "pose_m": np.zeros((1, 51), np.float32),
        "joint_3d": np.full((1, 21, 3), -1, np.float32),
        "joint_2d": np.full((1, 21, 2), -1, np.float32),
    }
