"""Scores of a hand detector's findings on pictures whose hand is known (MMHMR tables 13 and 14; DESIGN section 9).

Three figures that others mix: the rate found, the mean score over the found, the mean with zeros for the missed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from eval.reconstruction import PCK_THRESHOLDS, pck


@dataclass(frozen=True)
class DetectionScores:
    """Detection over n pictures.

    Attributes:
        n: pictures looked at.
        found: pictures in which a hand was found.
        rate_found: found / n.
        mean_score_found: mean handedness score over the found (what others report); NaN when none was found.
        mean_score_missed_as_zero: the same sum over all n pictures.
    """

    n: int
    found: int
    rate_found: float
    mean_score_found: float
    mean_score_missed_as_zero: float


def detection_scores(found: Bool[np.ndarray, "n"], scores: Float[np.ndarray, "n"]) -> DetectionScores:
    """Rate and mean scores.

    Args:
        found: whether a hand was found in each picture.
        scores: its handedness score in 0..1; not read where none was found.

    Returns:
        The three figures and their counts.

    Raises:
        ValueError: when there is no picture.
    """
    n, hits = len(found), int(found.sum())
    if not n:
        raise ValueError("there are 0 pictures to score; at least 1 is needed")
    total = float(scores[found].sum())
    return DetectionScores(n, hits, hits / n, total / hits if hits else float("nan"), total / n)


def keypoint_agreement(
    detected: Float[np.ndarray, "n j 2"],
    projected: Float[np.ndarray, "n j 2"],
    box_size: Float[np.ndarray, "n"],
    found: Bool[np.ndarray, "n"],
    thresholds: Sequence[float] = PCK_THRESHOLDS,
) -> Mapping[float, float]:
    """PCK of found keypoints against the projected joints that the picture was made from.

    Args:
        detected: keypoints of the detector, pixels; not read where nothing was found.
        projected: projected joints of the mesh, pixels.
        box_size: side of the mesh's box, pixels.
        found: whether a hand was found.
        thresholds: allowed distances as fractions of the box size.

    Returns:
        Threshold -> share in 0..1 over the found; NaN when none was found.
    """
    keep = np.broadcast_to(found[:, None], detected.shape[:2])
    return pck(np.where(keep[..., None], detected, 0.0), projected, box_size, np.ascontiguousarray(keep), thresholds)
