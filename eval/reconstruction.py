"""Scores of reconstructed hands against the truth (MMHMR section 4; paper 002 section 4.2 for best-of-N).

PA-MPJPE and PA-MPVPE after Procrustes alignment, AUC over 0..50 mm, F-scores, PCK in the image, best-of-N and
the average hypothesis, the correlation of joint and mesh error. Inputs are metres and pixels, errors millimetres.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from eval.alignment import Alignment, scale_translation_align, similarity_align

MILLIMETRES = 1000.0
AUC_LIMIT, AUC_STEPS = 0.05, 100  # metres, thresholds (FreiHAND, HO-3D)
PCK_THRESHOLDS = (0.05, 0.1, 0.15)  # of the box size (HaMeR)


@dataclass(frozen=True)
class ReconstructionScores:
    """What the public evaluation scripts report for n hands.

    Attributes:
        n: number of hands.
        pa_mpjpe_mm: official alignment, which may mirror.
        pa_mpjpe_mm_proper: proper rotations only: a mirrored hand is a mistake.
        pa_mpvpe_mm: as `pa_mpjpe_mm`, over vertices.
        pa_mpvpe_mm_proper: as `pa_mpjpe_mm_proper`, over vertices.
        auc_j: area under the share of joints within 0..50 mm, official alignment.
        auc_v: as `auc_j`, over vertices.
        f_at_5mm: F-score of the aligned surfaces at 5 mm.
        f_at_15mm: the same at 15 mm.
        sc_tr_mpjpe_mm: scale-and-translation aligned joint error.
        joint_mesh_correlation: Pearson correlation over hands of PA-MPJPE and PA-MPVPE.
    """

    n: int
    pa_mpjpe_mm: float
    pa_mpjpe_mm_proper: float
    pa_mpvpe_mm: float
    pa_mpvpe_mm_proper: float
    auc_j: float
    auc_v: float
    f_at_5mm: float
    f_at_15mm: float
    sc_tr_mpjpe_mm: float
    joint_mesh_correlation: float


@dataclass(frozen=True)
class HypothesisScores:
    """Scores of N joint hypotheses per hand.

    Attributes:
        n: number of hands.
        hypotheses: N.
        best_of_n_pa_mpjpe_mm: per hand the best hypothesis, then the mean over hands.
        average_hypothesis_pa_mpjpe_mm: PA-MPJPE of the mean of the hypotheses.
    """

    n: int
    hypotheses: int
    best_of_n_pa_mpjpe_mm: float
    average_hypothesis_pa_mpjpe_mm: float


def point_distances(a: Float[np.ndarray, "*batch d"], b: Float[np.ndarray, "*batch d"]) -> Float[np.ndarray, "*batch"]:
    """Euclidean distances between corresponding points."""
    return np.linalg.norm(a - b, axis=-1)


def pa_errors_mm(
    points: Float[np.ndarray, "n p 3"], target: Float[np.ndarray, "n p 3"], alignment: Alignment = "proper"
) -> Float[np.ndarray, "n"]:
    """Mean aligned point error of each hand, in millimetres; points and target in metres."""
    return point_distances(similarity_align(points, target, alignment), target).mean(-1) * MILLIMETRES


def hamer_pa_mpjpe_mm(joints: Float[np.ndarray, "n j 3"], target: Float[np.ndarray, "n j 3"]) -> float:
    """PA-MPJPE as HaMeR's script reports it: proper rotations, single precision; joints in metres.

    Inputs and errors are rounded to single precision as there; the arithmetic in between stays double, so that the
    last digits do not depend on the machine's singular value decomposition.
    """
    joints, target = joints.astype(np.float32), target.astype(np.float32)
    errors = point_distances(similarity_align(joints, target, "proper"), target.astype(np.float64)).mean(-1)
    return float(errors.astype(np.float32).mean() * np.float32(MILLIMETRES))


def auc(distances: Float[np.ndarray, "n p"], limit: float = AUC_LIMIT, steps: int = AUC_STEPS) -> float:
    """Area under the curve "share of points within a distance" over 0..limit, divided by the limit.

    Args:
        distances: point errors in metres.
        limit: largest threshold in metres.
        steps: number of thresholds, both ends included.

    Returns:
        A number in 0..1.
    """
    thresholds = np.linspace(0.0, limit, steps)
    first_within = np.searchsorted(thresholds, distances.ravel(), side="left")  # index of the first threshold >= d
    share = np.bincount(first_within, minlength=steps + 1)[:steps].cumsum() / distances.size
    return float(np.trapezoid(share, thresholds) / limit)


def f_scores(
    points: Float[np.ndarray, "n p 3"], target: Float[np.ndarray, "n q 3"], thresholds: Sequence[float] = (0.005, 0.015)
) -> tuple[float, ...]:
    """Mean F-score of two point sets per hand: harmonic mean of precision and recall of nearest distances.

    Args:
        points: aligned predicted surface points, metres.
        target: true surface points, metres.
        thresholds: distances in metres; a point counts when its nearest neighbour is closer.

    Returns:
        One mean F-score for each threshold, in 0..1.
    """
    scores = np.zeros((len(points), len(thresholds)))
    for i, (ours, truth) in enumerate(zip(points, target, strict=True)):
        to_truth, to_ours = cKDTree(truth).query(ours)[0], cKDTree(ours).query(truth)[0]
        for k, threshold in enumerate(thresholds):
            precision, recall = (to_truth < threshold).mean(), (to_ours < threshold).mean()
            scores[i, k] = 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
    return tuple(float(mean) for mean in scores.mean(0))


def scale_translation_mpjpe_mm(joints: Float[np.ndarray, "n j 3"], target: Float[np.ndarray, "n j 3"]) -> float:
    """Mean joint error in millimetres after HO-3D's scale and translation alignment (wrist, joint 4)."""
    return float(point_distances(*scale_translation_align(joints, target)).mean() * MILLIMETRES)


def pck(
    keypoints: Float[np.ndarray, "n j 2"],
    target: Float[np.ndarray, "n j 2"],
    box_size: Float[np.ndarray, "n"],
    counted: Bool[np.ndarray, "n j"],
    thresholds: Sequence[float] = PCK_THRESHOLDS,
) -> Mapping[float, float]:
    """Share of correct keypoints as HaMeR counts it: per joint over hands, then the mean over joints.

    Args:
        keypoints: predicted keypoints, pixels.
        target: true keypoints, pixels.
        box_size: side of each hand's box, pixels.
        counted: which keypoints count (for instance confidence > 0.5, or the visible ones).
        thresholds: allowed distances as fractions of the box size.

    Returns:
        Threshold -> share in 0..1, NaN when nothing is counted. A joint that is never counted is left out of the mean.
    """
    relative = point_distances(keypoints, target) / box_size[:, None]
    seen = counted.sum(0)
    shares = {}
    for threshold in thresholds:
        correct = ((relative <= threshold) & counted).sum(0)
        shares[float(threshold)] = float(np.mean(correct[seen > 0] / seen[seen > 0])) if seen.any() else float("nan")
    return shares


def pearson(a: Float[np.ndarray, "n"], b: Float[np.ndarray, "n"]) -> float:
    """Pearson correlation of two series, in -1..1; NaN when one of them does not vary."""
    a, b = a - a.mean(), b - b.mean()
    spread = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / spread if spread > 0 else float("nan")


def reconstruction_scores(
    joints: Float[np.ndarray, "n j 3"],
    target_joints: Float[np.ndarray, "n j 3"],
    vertices: Float[np.ndarray, "n v 3"],
    target_vertices: Float[np.ndarray, "n v 3"],
) -> ReconstructionScores:
    """All 3D scores of n hands.

    Args:
        joints: predicted joints, metres, wrist first.
        target_joints: true joints.
        vertices: predicted vertices, metres.
        target_vertices: true vertices.

    Returns:
        The scores; see `ReconstructionScores`.

    Raises:
        ValueError: when there is no hand.
    """
    if not len(joints):
        raise ValueError("there are 0 hands to score; at least 1 is needed")
    aligned_joints = similarity_align(joints, target_joints, "official")
    aligned_vertices = similarity_align(vertices, target_vertices, "official")
    joint_distances = point_distances(aligned_joints, target_joints)
    vertex_distances = point_distances(aligned_vertices, target_vertices)
    f_at_5, f_at_15 = f_scores(aligned_vertices, target_vertices)
    joint_errors = pa_errors_mm(joints, target_joints, "proper")
    vertex_errors = pa_errors_mm(vertices, target_vertices, "proper")
    return ReconstructionScores(
        n=len(joints),
        pa_mpjpe_mm=float(joint_distances.mean() * MILLIMETRES),
        pa_mpjpe_mm_proper=float(joint_errors.mean()),
        pa_mpvpe_mm=float(vertex_distances.mean() * MILLIMETRES),
        pa_mpvpe_mm_proper=float(vertex_errors.mean()),
        auc_j=auc(joint_distances),
        auc_v=auc(vertex_distances),
        f_at_5mm=f_at_5,
        f_at_15mm=f_at_15,
        sc_tr_mpjpe_mm=scale_translation_mpjpe_mm(joints, target_joints),
        joint_mesh_correlation=pearson(joint_errors, vertex_errors),
    )


def hypothesis_scores(
    hypotheses: Float[np.ndarray, "n h j 3"],
    target_joints: Float[np.ndarray, "n j 3"],
    alignment: Alignment = "official",
) -> HypothesisScores:
    """Best-of-N and average-hypothesis scores of N joint hypotheses per hand (metres)."""
    n, count = hypotheses.shape[:2]
    repeated = np.repeat(target_joints, count, axis=0)
    errors = pa_errors_mm(hypotheses.reshape(n * count, *hypotheses.shape[2:]), repeated, alignment)
    return HypothesisScores(
        n=n,
        hypotheses=count,
        best_of_n_pa_mpjpe_mm=float(errors.reshape(n, count).min(-1).mean()),
        average_hypothesis_pa_mpjpe_mm=float(pa_errors_mm(hypotheses.mean(1), target_joints, alignment).mean()),
    )
