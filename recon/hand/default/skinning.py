"""Posing raw meshes while the default hand is built: linear and dual-quaternion skinning, bone scaling, correctives.

Linear blend skinning shrinks a bent joint; dual-quaternion skinning (Kavan et al. 2008) keeps its radius. The pose
blend shapes of the default hand are the linear fit, in MANO's pose feature R - I, of that difference.
"""

import numpy as np
import roma
import torch
from jaxtyping import Float

from recon.hand.skeleton import MANO_PARENTS


def joint_transforms(
    rotations: Float[np.ndarray, "16 3 3"], joints: Float[np.ndarray, "16 3"]
) -> tuple[Float[np.ndarray, "16 3 3"], Float[np.ndarray, "16 3"]]:
    """Rotation and translation that carry the rest mesh along with each joint of the posed hand."""
    turned = np.empty((16, 3, 3))
    places = np.empty((16, 3))
    turned[0], places[0] = rotations[0], joints[0]
    for joint in range(1, 16):
        parent = MANO_PARENTS[joint]
        turned[joint] = turned[parent] @ rotations[joint]
        places[joint] = places[parent] + turned[parent] @ (joints[joint] - joints[parent])
    return turned, places - np.einsum("kij,kj->ki", turned, joints)


def dual_quaternion_skinning(
    vertices: Float[np.ndarray, "v 3"],
    weights: Float[np.ndarray, "v 16"],
    rotations: Float[np.ndarray, "16 3 3"],
    translations: Float[np.ndarray, "16 3"],
) -> Float[np.ndarray, "v 3"]:
    """Vertices moved by the blended rigid motions."""
    real = torch.nn.functional.normalize(roma.rotmat_to_unitquat(torch.from_numpy(rotations)), dim=-1)  # x, y, z, w
    pure = torch.cat([torch.from_numpy(translations), torch.zeros(16, 1, dtype=torch.float64)], dim=1)
    dual = 0.5 * roma.quat_product(pure, real)
    pivot = real[torch.from_numpy(weights.argmax(axis=1))]  # [V, 4]
    signed = torch.from_numpy(weights) * torch.where(pivot @ real.T < 0, -1.0, 1.0)
    real, dual = signed @ real, signed @ dual
    norm = real.norm(dim=-1, keepdim=True)
    real, dual = real / norm, dual / norm
    translation = 2 * roma.quat_product(dual, roma.quat_conjugation(real))[:, :3]
    return (roma.quat_action(real, torch.from_numpy(vertices)) + translation).numpy()


def scale_bones(
    vertices: Float[np.ndarray, "v 3"],
    joints: Float[np.ndarray, "16 3"],
    frames: Float[np.ndarray, "16 3 3"],
    weights: Float[np.ndarray, "v 16"],
    scales: Float[np.ndarray, "16 3"],
) -> tuple[Float[np.ndarray, "v 3"], Float[np.ndarray, "16 3"]]:
    """A hand with each bone's flesh scaled along its frame's columns (across, along, palm to back)."""
    matrices = frames @ (scales[:, :, None] * frames.transpose(0, 2, 1))
    places = joints.copy()
    for joint in range(1, 16):
        parent = MANO_PARENTS[joint]
        places[joint] = places[parent] + matrices[parent] @ (joints[joint] - joints[parent])
    moved = np.einsum("kij,vkj->vki", matrices, vertices[:, None] - joints) + places
    return np.einsum("vk,vki->vi", weights, moved), places


def pose_correctives(
    vertices: Float[np.ndarray, "v 3"],
    joints: Float[np.ndarray, "16 3"],
    weights: Float[np.ndarray, "v 16"],
    poses: Float[np.ndarray, "n 15 3 3"],
    ridge: float = 0.3,
) -> Float[np.ndarray, "v 3 135"]:
    """Pose blend shapes that bring linear blend skinning to dual-quaternion skinning over the given poses.

    Args:
        vertices: rest mesh, metres.
        joints: rest joints, metres.
        weights: skinning weights.
        poses: rotations of the finger joints, the fitting set.
        ridge: weight of the penalty on large coefficients.
    """
    offsets = np.empty((len(poses), len(vertices), 3))
    for index, pose in enumerate(poses):
        turned, translations = joint_transforms(np.concatenate([np.eye(3)[None], pose]), joints)
        target = dual_quaternion_skinning(vertices, weights, turned, translations)
        blended = np.einsum("vk,kij->vij", weights, turned)
        offsets[index] = np.linalg.solve(blended, (target - weights @ translations)[..., None])[..., 0] - vertices
    features = (poses - np.eye(3)).reshape(len(poses), 15, 9)
    below = np.eye(16)
    for joint in range(15, 0, -1):
        below[MANO_PARENTS[joint]] += below[joint]
    share = weights @ below.T  # share of the vertex that moves with each joint
    blends = (share[:, 1:] > 0.01) & (share[:, 1:] < 0.99)
    posedirs = np.zeros((len(vertices), 3, 15, 9))
    for pattern in np.unique(blends, axis=0):
        if pattern.any():
            members = np.flatnonzero((blends == pattern).all(axis=1))
            inputs = features[:, pattern].reshape(len(poses), -1)
            gram = inputs.T @ inputs + ridge * np.eye(inputs.shape[1])
            fit = np.linalg.solve(gram, inputs.T @ offsets[:, members].reshape(len(poses), -1))
            fit = fit.reshape(-1, 9, len(members), 3).transpose(2, 3, 0, 1)
            posedirs[np.ix_(members, range(3), np.flatnonzero(pattern))] = fit
    return posedirs.reshape(len(vertices), 3, 135)
