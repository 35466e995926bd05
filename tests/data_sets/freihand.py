"""A tree as FreiHAND's archives unpack, with rendered hands."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recon.data.reader import ManoBasis
from tests.data_sets.rebuild import encoded
from tests.data_sets.truth import Truth


def write(root: Path, truths: Sequence[Truth], basis: ManoBasis, *, released: bool = True) -> None:
    """Both splits of the same poses; all hands must be right ones.

    Args:
        root: folder to fill.
        truths: one for each pose.
        basis: the mean that poses are written from.
        released: whether the evaluation split has more than cameras and scales.
    """
    assert all(truth.is_right for truth in truths)
    for split in ("training", "evaluation"):
        (root / split / "rgb").mkdir(parents=True)
        versions = 4 if split == "training" else 1
        for version in range(versions):
            for index, truth in enumerate(truths):
                pixels = truth.image if version == 0 else np.roll(truth.image, version, axis=2)
                name = f"{index + version * len(truths):08d}.jpg"
                (root / split / "rgb" / name).write_bytes(encoded(pixels, "JPEG"))
        tables = {"K": [truth.intrinsics.tolist() for truth in truths], "scale": [_scale(truth) for truth in truths]}
        if released or split == "training":
            tables["xyz"] = [truth.joints.tolist() for truth in truths]
            tables["verts"] = [truth.vertices.tolist() for truth in truths]
            tables["mano"] = [[_mano(truth, basis)] for truth in truths]
        for kind, rows in tables.items():
            (root / f"{split}_{kind}.json").write_text(json.dumps(rows))
    (root / "training" / "mask").mkdir()
    for index, truth in enumerate(truths):
        mask = np.repeat(truth.mask[..., None].astype(np.uint8) * 255, 3, axis=2)
        (root / "training" / "mask" / f"{index:08d}.jpg").write_bytes(encoded(mask, "JPEG"))


def _scale(truth: Truth) -> float:
    return float(np.linalg.norm(truth.joints[9] - truth.joints[10]))


def _mano(truth: Truth, basis: ManoBasis) -> list[float]:
    """61 numbers: orientation, fingers around the mean, shape, pixel of joint 9 and the scale that gives its depth."""
    focal = (truth.intrinsics[0, 0] + truth.intrinsics[1, 1]) / 2
    x, y, z = truth.joints[9]
    pixel = truth.intrinsics[:2, 2] + focal * np.array([x, y]) / z
    numbers = (truth.global_orient, truth.hand_pose - basis.mean, truth.betas, pixel, [focal / z])
    return [float(number) for number in np.concatenate(numbers)]
