"""Alignment of predicted points to true ones, batched over hands (MMHMR section 4, "Evaluation Metrics").

Procrustes analysis removes rotation, translation and scale before a distance is taken. The official FreiHAND
and HO-3D scripts let that rotation be a reflection, which hides a left/right mistake, so both are offered.
"""

from typing import Literal

import numpy as np
import roma
import torch
from jaxtyping import Float

Alignment = Literal["official", "proper"]
"""`official` may mirror the hand (FreiHAND, HO-3D); `proper` is a rotation only (HaMeR)."""

CHUNK = 4096  # hands aligned at once: keeps the working set small at 100k meshes


def _align_chunk(points: np.ndarray, target: np.ndarray, alignment: Alignment) -> np.ndarray:
    """Umeyama's closed form on float64 arrays [n, p, 3]."""
    x, y = torch.from_numpy(points), torch.from_numpy(target)
    y_mean = y.mean(-2, keepdim=True)
    x, y = x - x.mean(-2, keepdim=True), y - y_mean
    covariance = y.mT @ x  # [n, 3, 3]
    rotation = roma.procrustes(covariance, force_rotation=alignment == "proper")
    spread = x.square().sum((-2, -1))
    overlap = (rotation * covariance).sum((-2, -1))
    # Points that all coincide have no scale: every scale puts them on the target's mean.
    scale = torch.where(spread > 0, overlap / spread.clamp_min(torch.finfo(spread.dtype).tiny), 0.0)
    return (scale[:, None, None] * (x @ rotation.mT) + y_mean).numpy()


def similarity_align(
    points: Float[np.ndarray, "n p 3"], target: Float[np.ndarray, "n p 3"], alignment: Alignment = "proper"
) -> Float[np.ndarray, "n p 3"]:
    """Points moved onto the target by the best rotation, translation and scale (least squares).

    Args:
        points: predicted points of n hands, any unit.
        target: true points, same unit.
        alignment: `proper` rotations only, or `official`, which may also mirror.

    Returns:
        The moved points as float64, in the target's unit.

    Raises:
        ValueError: when the two shapes differ.
    """
    if points.shape != target.shape:
        raise ValueError(f"points have the shape {points.shape} but the target has {target.shape}; they must agree")
    aligned = np.empty(points.shape, np.float64)
    for start in range(0, len(points), CHUNK):
        part = slice(start, start + CHUNK)
        aligned[part] = _align_chunk(points[part].astype(np.float64), target[part].astype(np.float64), alignment)
    return aligned


def scale_translation_align(
    joints: Float[np.ndarray, "n j 3"], target: Float[np.ndarray, "n j 3"], root: int = 0, reference: int = 4
) -> tuple[Float[np.ndarray, "n j 3"], Float[np.ndarray, "n j 3"]]:
    """Both joint sets with the root at the origin, the predicted one scaled to the true root-reference length.

    This is HO-3D's "scale-translation" protocol: no rotation is removed.

    Args:
        joints: predicted joints.
        target: true joints, same unit.
        root: joint that is put at the origin (the wrist).
        reference: joint whose distance from the root sets the scale.

    Returns:
        The predicted joints (scaled) and the true ones, both root-relative. A hand whose predicted length is 0 is
        left unscaled, as HO-3D's script leaves it.
    """
    joints, target = joints - joints[:, root : root + 1], target - target[:, root : root + 1]
    length = np.linalg.norm(joints[:, reference], axis=-1)
    wanted = np.linalg.norm(target[:, reference], axis=-1)
    scale = np.where(length > 0, wanted / np.where(length > 0, length, 1.0), 1.0)
    return joints * scale[:, None, None], target
