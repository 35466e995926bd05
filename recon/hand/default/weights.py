"""Smooth skinning weights by bone heat (Baran and Popovic 2007, "Pinocchio", section 4).

Each bone is a heat source for the surface nearest to it; the weights are the temperatures at equilibrium. The width of
a blend is then the distance from bone to skin, which is what a flesh-covered joint shows.
"""

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from jaxtyping import Float, Int


def cotangent_laplacian(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> tuple[scipy.sparse.csr_matrix, Float[np.ndarray, "v"]]:
    """The cotangent Laplacian (positive semi-definite) and the area of each vertex, square metres."""
    count = len(vertices)
    laplacian = scipy.sparse.csr_matrix((count, count))
    areas = np.zeros(count)
    for corner in range(3):
        i, j, k = faces[:, corner], faces[:, (corner + 1) % 3], faces[:, (corner + 2) % 3]
        a, b = vertices[i] - vertices[k], vertices[j] - vertices[k]
        double_area = np.linalg.norm(np.cross(a, b), axis=1)
        cotangent = np.clip((a * b).sum(axis=1) / np.maximum(double_area, 1e-12), 0.05, 20.0) / 2
        laplacian = laplacian + scipy.sparse.csr_matrix((cotangent, (i, j)), shape=(count, count))
        np.add.at(areas, i, double_area / 6)
    laplacian = laplacian + laplacian.T
    return scipy.sparse.diags(np.asarray(laplacian.sum(axis=1)).ravel()) - laplacian, areas


def distance_to_segments(
    points: Float[np.ndarray, "v 3"], starts: Float[np.ndarray, "k 3"], ends: Float[np.ndarray, "k 3"]
) -> Float[np.ndarray, "v k"]:
    """Distance of every point to every line segment, metres."""
    along = ends - starts
    offset = points[:, None] - starts
    t = np.clip((offset * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-12), 0, 1)
    return np.linalg.norm(offset - t[..., None] * along, axis=-1)


def bone_heat_weights(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    starts: Float[np.ndarray, "k 3"],
    ends: Float[np.ndarray, "k 3"],
    joints: Int[np.ndarray, "k"],
    sharpness: float = 1.0,
) -> Float[np.ndarray, "v j"]:
    """Weights of the joints at every vertex.

    Args:
        vertices: metres.
        faces: triangles.
        starts: where each bone starts.
        ends: where it ends.
        joints: the joint, 0 to j - 1, that turns each bone; several bones may share one.
        sharpness: heat conductance between bone and skin; more makes narrower blends.

    Returns:
        Non-negative weights whose rows sum to one.
    """
    laplacian, areas = cotangent_laplacian(vertices, faces)
    distance = distance_to_segments(vertices, starts, ends)
    count = int(joints.max()) + 1
    per_joint = np.stack([distance[:, joints == joint].min(axis=1) for joint in range(count)], axis=1)
    nearest = per_joint.argmin(axis=1)
    conductance = areas * sharpness / np.maximum(per_joint.min(axis=1), 1e-3) ** 2
    solve = scipy.sparse.linalg.factorized((laplacian + scipy.sparse.diags(conductance)).tocsc())
    weights = np.stack([solve(conductance * (nearest == joint)) for joint in range(count)], axis=1)
    weights = np.where(weights < 0.01, 0.0, weights)
    return weights / weights.sum(axis=1, keepdims=True)
