"""Posing raw meshes while the default hand is built: linear and dual-quaternion skinning, bone scaling, correctives.

Linear blend skinning shrinks a bent joint; dual-quaternion skinning (Kavan et al. 2008) keeps its radius. The pose
blend shapes of the default hand are the linear fit, in MANO's pose feature R - I, of that difference.
"""

import numpy as np
import roma
import torch
from jaxtyping import Float, Int

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
    faces: Int[np.ndarray, "f 3"],
    joints: Float[np.ndarray, "16 3"],
    weights: Float[np.ndarray, "v 16"],
    poses: Float[np.ndarray, "n 15 3 3"],
    ridge: float = 0.1,
    firmness: float = 0.6,
) -> Float[np.ndarray, "v 3 135"]:
    """Pose blend shapes, fitted joint by joint, that keep bent joints round and their flesh from vanishing.

    Args:
        vertices: rest mesh, metres.
        faces: its triangles.
        joints: rest joints, metres.
        weights: skinning weights.
        poses: rotations of the finger joints; each joint is fitted on its own rotations in them.
        ridge: weight of the penalty on large coefficients.
        firmness: share of the volume lost in the bend that bulges out around the joint.
    """
    below = np.eye(16)
    for joint in range(15, 0, -1):
        below[MANO_PARENTS[joint]] += below[joint]
    share = weights @ below.T  # share of the vertex that moves with each joint
    posedirs = np.zeros((len(vertices), 3, 15, 9))
    for joint in range(1, 16):
        blend = 4 * share[:, joint] * (1 - share[:, joint])
        members = np.flatnonzero(blend > 0.02)
        features = (poses[:, joint - 1] - np.eye(3)).reshape(len(poses), 9)
        offsets = np.stack(
            [
                _joint_corrective(vertices, faces, joints, weights, joint, pose[joint - 1], firmness * blend)[members]
                for pose in poses
            ]
        )
        gram = features.T @ features + ridge * np.eye(9)
        fit = np.linalg.solve(gram, features.T @ offsets.reshape(len(poses), -1))
        posedirs[members, :, joint - 1] = fit.reshape(9, len(members), 3).transpose(1, 2, 0)
    return posedirs.reshape(len(vertices), 3, 135)


def _joint_corrective(
    vertices: np.ndarray,
    faces: np.ndarray,
    joints: np.ndarray,
    weights: np.ndarray,
    joint: int,
    rotation: np.ndarray,
    bulge: np.ndarray,
) -> np.ndarray:
    """Rest-space offsets [V, 3] that lead linear skinning to the wanted surface when one joint alone is turned."""
    rotations = np.tile(np.eye(3), (16, 1, 1))
    rotations[joint] = rotation
    turned, translations = joint_transforms(rotations, joints)
    target = dual_quaternion_skinning(vertices, weights, turned, translations)
    normals = vertex_normals(target, faces)
    lost = volume(vertices - joints[joint], faces) - volume(target - joints[joint], faces)
    areas = np.linalg.norm(vertex_normals(vertices, faces, unit=False), axis=1) / 6
    full = np.minimum(1.0, bulge / max(float(bulge.max()), 1e-9))
    target = target + lost * bulge[:, None] * normals / (areas @ full)
    blended = np.einsum("vk,kij->vij", weights, turned)
    return np.linalg.solve(blended, (target - weights @ translations)[..., None])[..., 0] - vertices


def volume(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> float:
    """Signed volume between the faces and the origin, cubic metres; differences do not depend on open, still edges."""
    a, b, c = vertices[faces].transpose(1, 0, 2)
    return float((a * np.cross(b, c)).sum() / 6)


def vertex_normals(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], unit: bool = True
) -> Float[np.ndarray, "v 3"]:
    """Outward normals; unit vectors, or with the length of twice the area of the faces around the vertex."""
    corners = vertices[faces]
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], face_normals)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12) if unit else normals
