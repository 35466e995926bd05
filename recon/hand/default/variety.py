"""Random poses and proportions: what the default hand's pose and shape components are fitted on (DESIGN section 4).

The poses keep to healthy limits of each joint; the proportions vary what Anny's phenotypes leave nearly fixed.
"""

import numpy as np
import roma
import torch
from jaxtyping import Float

from recon.hand.default.skinning import scale_bones, vertex_normals
from recon.hand.default.source import SourceHands
from recon.hand.skeleton import MANO_FINGERS

_FINGER_RANGE = {"bend": ((-25, 95), (-5, 110), (-10, 80)), "spread": 20.0, "twist": 6.0}
_THUMB_RANGE = ((-30, 45), (-15, 65), (-20, 85))


def random_poses(
    count: int, frames: Float[np.ndarray, "16 3 3"], rng: np.random.Generator
) -> Float[np.ndarray, "n 45"]:
    """Rotation vectors of the finger joints within healthy limits; half of the hands curl their fingers together.

    Args:
        count: how many.
        frames: per joint, columns: bending axis, bone, palm side.
        rng: source of randomness.
    """
    rotvec = np.zeros((count, 15, 3))
    together = (np.arange(count) % 2 == 0)[:, None]
    curl = np.clip(rng.normal(0.35, 0.35, (count, 1)), 0, 1)
    for number, finger in enumerate(MANO_FINGERS):
        own = np.clip(curl + rng.normal(0, 0.2, (count, 1)), 0, 1) + rng.normal(0, 0.08, (count, 3))
        share = np.where(together, np.clip(own, 0, 1), rng.random((count, 3)))
        low, high = np.array(_THUMB_RANGE if finger == "thumb" else _FINGER_RANGE["bend"], dtype=float).T
        bend = np.deg2rad(low + share * (high - low))
        spread, twist = np.zeros((count, 3)), np.zeros((count, 3))
        if finger == "thumb":
            spread[:, 0], twist[:, 0] = rng.normal(5, 18, count), rng.normal(8, 15, count)
        else:
            spread[:, 0] = rng.normal(0, 8, count) * (1 - share[:, 0])
        for part in range(3):
            frame = frames[1 + 3 * number + part]
            angles = np.stack([bend[:, part], np.deg2rad(twist[:, part]), -np.deg2rad(spread[:, part])], axis=1)
            # bend first about the fixed axis, then swing sideways: as a knuckle does
            turns = [roma.rotvec_to_rotmat(torch.from_numpy(angles[:, i : i + 1] * frame[:, i])) for i in (2, 0, 1)]
            rotvec[:, 3 * number + part] = roma.rotmat_to_rotvec(turns[0] @ turns[1] @ turns[2]).numpy()
    return rotvec.reshape(count, 45)


def pose_components(poses: Float[np.ndarray, "n 45"]) -> Float[np.ndarray, "45 45"]:
    """Orthonormal principal directions of poses around the flat hand, largest first."""
    _, _, components = np.linalg.svd(poses, full_matrices=False)
    return components * np.sign(components.sum(axis=1, keepdims=True))


def vary_proportions(source: SourceHands, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Give every sample but the first its own proportions: long or short fingers, broad or narrow palm and so on.

    Sizes are drawn together by a fifth, so that a first shape coefficient of +-2 stays within real hands (about 150 to
    220 mm from wrist to fingertip).

    Returns:
        vertices [S, V, 3] and joints [S, 16, 3], metres.
    """
    vertices, joints = source.vertices.copy(), source.joints.copy()
    bony = bony_pattern(source.weights)
    reach = -source.vertices[:, :, 0].min(axis=1)
    for index in range(1, len(vertices)):
        scales, boniness = _draw_traits(rng)
        scales *= (reach.mean() / reach[index]) ** 0.22
        vertices[index], joints[index] = scale_bones(
            source.vertices[index], source.joints[index], source.frames, source.weights, scales
        )
        vertices[index] += boniness * bony[:, None] * vertex_normals(vertices[index], source.faces)
    return vertices, joints


def bony_pattern(weights: Float[np.ndarray, "v 16"]) -> Float[np.ndarray, "v"]:
    """Where thin skin shows the skeleton: 1 at the middle and end joints of the fingers, negative between them."""
    pattern = np.zeros(len(weights))
    for base in range(1, 16, 3):
        for joint in (base, base + 1):
            pattern += 4 * weights[:, joint] * weights[:, joint + 1]
    fingers = 1 - weights[:, 0]
    return pattern - 0.4 * fingers


def _draw_traits(rng: np.random.Generator) -> tuple[Float[np.ndarray, "16 3"], float]:
    """Scales of the 16 bones across, along and from palm to back, and how far the joints stand out, metres."""
    length, thumb, ratio, little = rng.normal(0, (0.055, 0.06, 0.038, 0.06))
    thickness, taper, width, depth = rng.normal(0, (0.08, 0.075, 0.055, 0.10))
    log = np.zeros((16, 3))
    log[0] = width, -0.3 * length, depth
    finger_length = {"index": ratio, "middle": 0.0, "ring": -ratio, "little": little, "thumb": thumb}
    for number, finger in enumerate(MANO_FINGERS):
        rows = slice(1 + 3 * number, 4 + 3 * number)
        log[rows, 1] = length + finger_length[finger]
        log[rows, 0] = log[rows, 2] = thickness + taper * np.array([0.6, 0.0, -1.0])
    return np.exp(log), float(rng.normal(0, 0.0011))
