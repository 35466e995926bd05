"""The source mesh brought to MANO's counts: 778 vertices, 1538 faces, 16 open edges at the wrist (DESIGN section 4)."""

from dataclasses import dataclass

import fast_simplification
import numpy as np
import trimesh
from jaxtyping import Float, Int

VERTICES, FACES = 778, 1538


@dataclass(frozen=True)
class Simplification:
    """A coarse mesh and how its vertices hang on the fine one."""

    faces: Int[np.ndarray, "1538 3"]
    attach: Float[np.ndarray, "778 v"]
    """Non-negative rows that sum to one: attributes of the fine mesh -> attributes at the coarse vertices."""
    fit: Float[np.ndarray, "778 v"]
    """Fine vertex places -> coarse vertex places whose surface lies nearest to the fine vertices."""


def _attach(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> Float[np.ndarray, "n v"]:
    """Barycentric weights over `vertices` of the surface point nearest to each of `points`."""
    corners = vertices[faces]
    weights = np.zeros((len(points), len(vertices)))
    for row, point in enumerate(points):
        candidates = trimesh.triangles.closest_point(corners, np.broadcast_to(point, (len(corners), 3)))
        nearest = int(np.linalg.norm(candidates - point, axis=1).argmin())
        share = trimesh.triangles.points_to_barycentric(corners[nearest][None], candidates[nearest][None])[0]
        weights[row, faces[nearest]] = np.clip(share, 0, None)
    return weights / weights.sum(axis=1, keepdims=True)


def simplify(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], guide: Float[np.ndarray, "v 3"], anchor: float
) -> Simplification:
    """Collapse edges until MANO's counts are met.

    Args:
        vertices: the fine mesh, metres.
        faces: its triangles.
        guide: the same mesh with the parts inflated that should keep more vertices; edges collapse on this one.
        anchor: pull of each coarse vertex to its place on the fine surface, against the fit of the whole surface.

    Raises:
        ValueError: no setting of the simplification gives MANO's counts.
    """
    for aggressiveness in np.arange(5.0, 9.0, 0.05):
        coarse, coarse_faces = fast_simplification.simplify(guide, faces, target_count=FACES, agg=float(aggressiveness))
        used = np.unique(coarse_faces)
        if coarse.shape == (VERTICES, 3) and coarse_faces.shape == (FACES, 3) and len(used) == VERTICES:
            break
    else:
        raise ValueError(f"no simplification of the {len(vertices)} vertices gives {VERTICES} vertices, {FACES} faces.")
    attach = _attach(coarse, guide, faces)
    placed = attach @ vertices
    back = _attach(vertices, placed, coarse_faces)  # [fine, coarse]
    normal = back.T @ back + anchor * np.eye(VERTICES)
    fit = np.linalg.solve(normal, back.T + anchor * attach)
    return Simplification(faces=coarse_faces.astype(np.int64), attach=attach, fit=fit)
