"""Scores of meshes sampled from a text (MMHMR Table 10): distance to the meant hand, spread, and class.

Chamfer and Hausdorff distance and PA-MPVPE as mean and deviation over the samples of each text, averaged over texts;
diversity of the samples of one text; how often the nearest pose class is the asked one.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from eval.alignment import similarity_align
from eval.reconstruction import MILLIMETRES, pa_errors_mm, point_distances


@dataclass(frozen=True)
class TextToMeshScores:
    """Mean over texts of the per-text mean and standard deviation over samples.

    Attributes:
        texts: number of texts.
        samples: samples per text.
        chamfer_mean: square metres: mean squared nearest distance, both ways added.
        chamfer_deviation: square metres.
        hausdorff_mean: metres: the largest nearest distance, either way.
        hausdorff_deviation: metres.
        pa_mpvpe_mm_mean: millimetres, proper rotations.
        pa_mpvpe_mm_deviation: millimetres.
        diversity_mm: mean PA-MPVPE between two samples of one text; 0 when all are alike.
    """

    texts: int
    samples: int
    chamfer_mean: float
    chamfer_deviation: float
    hausdorff_mean: float
    hausdorff_deviation: float
    pa_mpvpe_mm_mean: float
    pa_mpvpe_mm_deviation: float
    diversity_mm: float


def surface_distances(
    points: Float[np.ndarray, "n p 3"], target: Float[np.ndarray, "n q 3"]
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Chamfer (unit squared, both ways added) and symmetric Hausdorff (unit) distance of point sets, per pair."""
    chamfer, hausdorff = np.zeros(len(points)), np.zeros(len(points))
    for i, (ours, truth) in enumerate(zip(points, target, strict=True)):
        forth, back = cKDTree(truth).query(ours)[0], cKDTree(ours).query(truth)[0]
        chamfer[i] = np.mean(forth**2) + np.mean(back**2)
        hausdorff[i] = max(forth.max(), back.max())
    return chamfer, hausdorff


def diversity_mm(vertices: Float[np.ndarray, "n v 3"]) -> float:
    """Mean PA-MPVPE over all pairs of samples, in millimetres; vertices in metres; 0 for a single sample."""
    first, second = np.triu_indices(len(vertices), 1)
    if not len(first):
        return 0.0
    return float(pa_errors_mm(vertices[first], vertices[second]).mean())


def text_to_mesh_scores(
    vertices: Float[np.ndarray, "t n v 3"], target_vertices: Float[np.ndarray, "t v 3"]
) -> TextToMeshScores:
    """Scores of n samples for each of t texts against one meant mesh per text.

    Chamfer and Hausdorff compare the hands as they stand (root-relative, orientation included), as Table 10 does.

    Args:
        vertices: sampled meshes, metres, root-relative.
        target_vertices: the meant mesh of each text.

    Returns:
        See `TextToMeshScores`.

    Raises:
        ValueError: without texts or samples.
    """
    texts, samples = vertices.shape[:2]
    if not texts or not samples:
        raise ValueError(f"there are {texts} texts with {samples} samples each; at least 1 of both is needed")
    flat = vertices.reshape(texts * samples, *vertices.shape[2:])
    target = np.repeat(target_vertices, samples, axis=0)
    chamfer, hausdorff = (d.reshape(texts, samples) for d in surface_distances(flat, target))
    errors = pa_errors_mm(flat, target).reshape(texts, samples)
    return TextToMeshScores(
        texts,
        samples,
        float(chamfer.mean()),
        float(chamfer.std(1).mean()),
        float(hausdorff.mean()),
        float(hausdorff.std(1).mean()),
        float(errors.mean()),
        float(errors.std(1).mean()),
        float(np.mean([diversity_mm(group) for group in vertices])),
    )


def nearest_class(
    joints: Float[np.ndarray, "n p 3"], class_joints: Float[np.ndarray, "c p 3"], align: bool = True
) -> Int[np.ndarray, "n"]:
    """Index of the pose class whose joints (or vertices) are nearest to each sample.

    Args:
        joints: sampled hands, metres.
        class_joints: one hand per class.
        align: compare after Procrustes alignment (pose only); otherwise orientation and size count too.

    Returns:
        A class index in 0..c-1 for each sample.
    """
    distances = np.empty((len(joints), len(class_joints)))
    for c, meant in enumerate(class_joints):
        target = np.broadcast_to(meant, joints.shape)
        moved = similarity_align(joints, target) if align else joints
        distances[:, c] = point_distances(moved, target).mean(-1) * MILLIMETRES
    return distances.argmin(1)


def nearest_class_rate(
    joints: Float[np.ndarray, "n p 3"],
    classes: Int[np.ndarray, "n"],
    class_joints: Float[np.ndarray, "c p 3"],
    align: bool = True,
) -> float:
    """Share of samples whose nearest pose class is the asked one, in 0..1."""
    return float((nearest_class(joints, class_joints, align) == classes).mean())
