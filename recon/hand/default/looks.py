"""Where the default hand has nails and palm skin: extra fields of its file, for its painters (DESIGN section 5)."""

import numpy as np
from jaxtyping import Float, Int

from recon.hand.default.skinning import vertex_normals
from recon.hand.skeleton import FINGERS, FINGERTIP_VERTICES, MANO_JOINT_NAMES


def palmness(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    frames: Float[np.ndarray, "16 3 3"],
    weights: Float[np.ndarray, "v 16"],
) -> Float[np.ndarray, "v"]:
    """1 where the skin faces the palm side of its bone, 0 on the back, smooth between."""
    normals = vertex_normals(vertices, faces)
    palm_side = weights @ frames[:, :, 2]
    cosine = (normals * palm_side).sum(axis=1) / np.linalg.norm(palm_side, axis=1)
    return np.clip(0.5 + 0.9 * cosine, 0, 1)


def nail_ellipsoids(
    vertices: Float[np.ndarray, "v 3"], joints: Float[np.ndarray, "16 3"], frames: Float[np.ndarray, "16 3 3"]
) -> tuple[Float[np.ndarray, "5 3"], Float[np.ndarray, "5 3 3"], Float[np.ndarray, "5 3"]]:
    """Nails as boxes in rest space, thumb to little: centres, axes (rows: across, along, up), half sizes; metres.

    A surface point p of the finger's last part belongs to the nail where ((axes @ (p - centre)) / half) lies inside
    |x|^3 + |y|^3 < 1 and its third coordinate is above -1.
    """
    centres, axes, halves = [], [], []
    for finger in FINGERS:
        joint = MANO_JOINT_NAMES.index(f"{finger}_3")
        across, along, palm = frames[joint].T
        local = (vertices - joints[joint]) @ frames[joint]
        length = float(local[FINGERTIP_VERTICES[finger], 1])
        near = (local[:, 1] > 0.45 * length) & (local[:, 1] < 1.1 * length)
        near &= np.linalg.norm(local[:, [0, 2]], axis=1) < 0.016
        middle = (local[near, 0].max() + local[near, 0].min()) / 2
        radius = (local[near, 0].max() - local[near, 0].min()) / 2
        top = local[near, 2].min()
        centre = np.array([middle, 0.72 * length, top])
        centres.append(joints[joint] + frames[joint] @ centre)
        axes.append(np.stack([across, along, -palm]))
        halves.append([0.72 * radius, 0.27 * length, 0.75 * radius])
    return np.stack(centres), np.stack(axes), np.array(halves)


def nail_mask(
    vertices: Float[np.ndarray, "v 3"],
    weights: Float[np.ndarray, "v 16"],
    centres: Float[np.ndarray, "5 3"],
    axes: Float[np.ndarray, "5 3 3"],
    halves: Float[np.ndarray, "5 3"],
) -> Float[np.ndarray, "v"]:
    """1 on the nails' vertices, 0 elsewhere."""
    mask = np.zeros(len(vertices))
    for number, finger in enumerate(FINGERS):
        own = weights.argmax(axis=1) == MANO_JOINT_NAMES.index(f"{finger}_3")
        local = (vertices - centres[number]) @ axes[number].T / halves[number]
        inside = (np.abs(local[:, 0]) ** 3 + np.abs(local[:, 1]) ** 3 < 1) & (local[:, 2] > -1)
        mask[own & inside] = 1.0
    return mask
