"""Builds ``default_hand.npz``, the free hand in MANO's own fields, from the Anny body model (DESIGN section 4).

Run ``python -m recon.hand.default.build``; the same bytes come out every time. Needs the development extras.
"""

import io
import zipfile
from pathlib import Path

import fast_simplification
import numpy as np
import trimesh
from scipy.optimize import nnls

from recon.files import write_atomic
from recon.hand.default.source import SourceHands, sample_hands
from recon.hand.skeleton import FINGERTIP_VERTICES, MANO_JOINT_NAMES, MANO_PARENTS

VERTICES, FACES, SHAPES = 778, 1538, 10


def simplify(source: SourceHands) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The average adult's mesh with MANO's counts.

    Returns:
        vertices [778, 3], faces [1538, 3], and for each vertex three source vertices [778, 3] with weights [778, 3]
        (the point of the source surface nearest to it).

    Raises:
        ValueError: the simplification does not give MANO's counts.
    """
    vertices, faces = fast_simplification.simplify(source.vertices[0], source.faces, target_count=FACES, agg=5.0)
    if vertices.shape[0] != VERTICES or faces.shape[0] != FACES:
        raise ValueError(f"the simplified hand has {len(vertices)} vertices and {len(faces)} faces, not 778 and 1538.")
    corners = source.vertices[0][source.faces]
    nearest, barycentric = [], []
    for vertex in vertices:
        points = trimesh.triangles.closest_point(corners, np.broadcast_to(vertex, (len(corners), 3)))
        nearest.append(int(np.linalg.norm(points - vertex, axis=1).argmin()))
        triangle = corners[nearest[-1]][None]
        barycentric.append(trimesh.triangles.points_to_barycentric(triangle, points[nearest[-1]][None])[0])
    barycentric = np.clip(np.stack(barycentric), 0, None)
    return vertices, faces.astype(np.int64), source.faces[nearest], barycentric / barycentric.sum(1, keepdims=True)


def tip_order(vertices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A permutation of the vertices that puts each finger's farthest one where `FINGERTIP_VERTICES` says."""
    order = np.arange(len(vertices))
    for finger, slot in FINGERTIP_VERTICES.items():
        tip_part = MANO_JOINT_NAMES.index(f"{finger}_3")
        own = np.flatnonzero(weights.argmax(axis=1) == tip_part)
        before = vertices[weights.argmax(axis=1) == tip_part - 1].mean(axis=0)
        direction = vertices[own].mean(axis=0) - before
        tip = own[((vertices[own] - before) @ direction).argmax()]
        place = int(np.flatnonzero(order == tip)[0])
        order[place], order[slot] = order[slot], order[place]
    return order


def shape_space(vertices: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, ...]:
    """Mean and ten principal components, in standard deviations, of vertices [S, V, 3] and joints [S, 16, 3]."""
    count = len(vertices)
    mean_vertices, mean_joints = vertices.mean(axis=0), joints.mean(axis=0)
    flat = (vertices - mean_vertices).reshape(count, -1)
    u, s, _ = np.linalg.svd(flat, full_matrices=False)
    scores = u[:, :SHAPES] * np.sqrt(count - 1)
    scores *= np.sign(flat.reshape(count, -1, 3)[:, :, 0].sum(axis=1) @ scores + 1e-12)
    directions = scores.T @ flat / (count - 1)
    joint_directions = scores.T @ (joints - mean_joints).reshape(count, -1) / (count - 1)
    shapedirs = directions.reshape(SHAPES, -1, 3).transpose(1, 2, 0)
    return mean_vertices, shapedirs, mean_joints, joint_directions.reshape(SHAPES, 16, 3).transpose(1, 2, 0)


def joint_regressor(
    vertices: np.ndarray, shapedirs: np.ndarray, joints: np.ndarray, joint_directions: np.ndarray
) -> np.ndarray:
    """Rows [16, 778] that give the joints for every shape: sparse, sum one, from the vertices near each joint."""
    regressor = np.zeros((16, len(vertices)))
    for joint in range(16):
        near = np.argsort(np.linalg.norm(vertices - joints[joint], axis=1), kind="stable")[:80]
        system = np.concatenate([vertices[near][:, :, None], shapedirs[near]], axis=2).reshape(len(near), -1).T
        wanted = np.concatenate([joints[joint][:, None], joint_directions[joint]], axis=1).reshape(-1)
        system = np.concatenate([system * 1e3, np.full((1, len(near)), 1e3), 1e-1 * np.eye(len(near))])
        wanted = np.concatenate([wanted * 1e3, [1e3], np.zeros(len(near))])
        regressor[joint, near] = nnls(system, wanted)[0]
    regressor /= regressor.sum(axis=1, keepdims=True)
    return regressor


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """A compressed npz with fixed dates, so that the same arrays give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for key in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(arrays[key]), allow_pickle=False)
            info = zipfile.ZipInfo(f"{key}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, member.getvalue(), compresslevel=9)
    return buffer.getvalue()


def build(people: int = 400, seed: int = 0) -> dict[str, np.ndarray]:
    """All arrays of the default hand."""
    source = sample_hands(people, seed)
    vertices, faces, corners, barycentric = simplify(source)
    weights = np.einsum("vc,vck->vk", barycentric, source.weights[corners])
    order = tip_order(vertices, weights)
    rank = np.argsort(order)
    vertices, weights, corners, barycentric = vertices[order], weights[order], corners[order], barycentric[order]
    faces = rank[faces]
    moved = np.einsum("vc,svci->svi", barycentric, source.vertices[:, corners])
    samples = vertices + moved - moved[0]
    template, shapedirs, joints, joint_directions = shape_space(samples, source.joints)
    posedirs = np.zeros((VERTICES, 3, 135))
    return {
        "v_template": template.astype(np.float32),
        "shapedirs": shapedirs.astype(np.float32),
        "posedirs": posedirs.astype(np.float32),
        "J_regressor": joint_regressor(template, shapedirs, joints, joint_directions).astype(np.float32),
        "weights": (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32),
        "f": faces.astype(np.int64),
        "kintree_table": np.array([MANO_PARENTS, range(16)], dtype=np.int64),
        "hands_components": np.eye(45, dtype=np.float32),
        "hands_coeffs": np.zeros((1, 45), dtype=np.float32),
        "hands_mean": np.zeros(45, dtype=np.float32),
    }


def main() -> None:
    """Write the default hand beside this script."""
    write_atomic(Path(__file__).with_name("default_hand.npz"), npz_bytes(build()))


if __name__ == "__main__":
    main()
