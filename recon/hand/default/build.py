"""Builds ``default_hand.npz``, the free hand in MANO's own fields, from the Anny body model (DESIGN section 4).

Run ``python -m recon.hand.default.build``; the same bytes come out every time. Needs the development extras.
"""

from pathlib import Path

import numpy as np
import roma
import torch
from jaxtyping import Float
from scipy.optimize import nnls

from recon.files import write_atomic
from recon.hand.default.looks import nail_ellipsoids, nail_mask, palmness
from recon.hand.default.simplify import simplify
from recon.hand.default.skinning import pose_correctives, scale_bones
from recon.hand.default.source import SourceHands, sample_hands
from recon.hand.default.variety import pose_components, random_poses, vary_proportions
from recon.hand.fields import npz_bytes
from recon.hand.skeleton import FINGERTIP_VERTICES, MANO_JOINT_NAMES, MANO_PARENTS

SHAPES = 10


def inflated(source: SourceHands) -> Float[np.ndarray, "v 3"]:
    """The average adult with thick fingers on a broad palm: edges that collapse on it leave fingers more vertices."""
    scales = np.ones((16, 3))
    scales[0] = 1.8, 1.0, 1.0
    scales[1:] = 1.5, 1.25, 1.5
    scales[3::3] = 1.8, 1.56, 1.8
    scales[13] = 1.1
    return scale_bones(source.vertices[0], source.joints[0], source.frames, source.weights, scales)[0]


def tip_order(vertices: np.ndarray, joints: np.ndarray, frames: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A permutation of the vertices that puts each finger's tip where `FINGERTIP_VERTICES` says."""
    order = np.arange(len(vertices))
    for finger, slot in FINGERTIP_VERTICES.items():
        joint = MANO_JOINT_NAMES.index(f"{finger}_3")
        own = np.flatnonzero(weights.argmax(axis=1) == joint)
        local = (vertices[own] - joints[joint]) @ frames[joint]
        middle = local[:, [0, 2]].mean(axis=0)
        score = local[:, 1] - 0.35 * np.linalg.norm(local[:, [0, 2]] - middle, axis=1)
        place = int(np.flatnonzero(order == own[score.argmax()])[0])
        order[place], order[slot] = order[slot], order[place]
    return order


def shape_space(vertices: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, ...]:
    """Mean and ten principal components, in standard deviations, of vertices [S, V, 3] and joints [S, 16, 3].

    Returns:
        mean vertices [V, 3], shapedirs [V, 3, 10], mean joints [16, 3], joint directions [16, 3, 10]; a positive
        coefficient makes the hand longer.
    """
    count = len(vertices)
    mean_vertices, mean_joints = vertices.mean(axis=0), joints.mean(axis=0)
    flat = (vertices - mean_vertices).reshape(count, -1)
    u, _, _ = np.linalg.svd(flat, full_matrices=False)
    scores = u[:, :SHAPES] * np.sqrt(count - 1)
    reach = -vertices[:, FINGERTIP_VERTICES["middle"], 0]
    scores *= np.where((reach - reach.mean()) @ scores < 0, -1.0, 1.0)
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
        near = np.argsort(np.linalg.norm(vertices - joints[joint], axis=1), kind="stable")[:90]
        system = np.concatenate([vertices[near][:, :, None], shapedirs[near]], axis=2).reshape(len(near), -1).T
        wanted = np.concatenate([joints[joint][:, None], joint_directions[joint]], axis=1).reshape(-1)
        system = np.concatenate([system, np.ones((1, len(near)))])
        wanted = np.concatenate([wanted, [1.0]])
        damped = np.concatenate([system * 1e3, 0.03 * np.eye(len(near))])
        rough = nnls(damped, np.concatenate([wanted * 1e3, np.zeros(len(near))]))[0]
        rough += np.linalg.pinv(system, rcond=1e-6) @ (wanted - system @ rough)  # non-negative up to a trace, exact
        regressor[joint, near] = rough
    return regressor


def build(people: int = 600, poses: int = 600, seed: int = 0) -> dict[str, np.ndarray]:
    """All arrays of the default hand: MANO's fields, and `nail_*`, `palmness`, `joint_frames` for its painters."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    source = sample_hands(people, seed)
    coarse = simplify(source.vertices[0], source.faces, inflated(source), anchor=0.1)
    weights = coarse.attach @ source.weights
    order = tip_order(coarse.fit @ source.vertices[0], source.joints[0], source.frames, weights)
    weights, fit, faces = weights[order], coarse.fit[order], np.argsort(order)[coarse.faces]
    vertices, joints = vary_proportions(source, rng)
    template, shapedirs, rest_joints, joint_directions = shape_space(fit @ vertices, joints)
    rotvec = random_poses(poses, source.frames, rng)
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(rotvec.reshape(-1, 15, 3))).numpy()
    nails = nail_ellipsoids(template, rest_joints, source.frames)
    floats = {
        "v_template": template,
        "shapedirs": shapedirs,
        "posedirs": pose_correctives(template, faces, rest_joints, weights, rotations[:80]),
        "J_regressor": joint_regressor(template, shapedirs, rest_joints, joint_directions),
        "weights": weights,
        "hands_components": pose_components(rotvec),
        "hands_mean": np.zeros(45),
        "joint_frames": source.frames,
        "palmness": palmness(template, faces, source.frames, weights),
        "nail_mask": nail_mask(template, weights, *nails),
        "nail_centres": nails[0],
        "nail_axes": nails[1],
        "nail_half_sizes": nails[2],
    }
    rounded = {key: np.round(value, 6).astype(np.float32) for key, value in floats.items()}
    return rounded | {
        "J_regressor": floats["J_regressor"].astype(np.float32),
        "weights": floats["weights"].astype(np.float32),
        "f": faces.astype(np.int64),
        "kintree_table": np.array([MANO_PARENTS, range(16)], dtype=np.int64),
    }


def main() -> None:
    """Write the default hand beside this script."""
    write_atomic(Path(__file__).with_name("default_hand.npz"), npz_bytes(build()))


if __name__ == "__main__":
    main()
