"""Forward kinematics and self-contact: how deep fingers press into each other and into the palm (DESIGN section 5).

Every bone is a capsule. Touching flesh yields, so a pose is sound while no pair of capsules overlaps by more than
`ALLOWED_DEPTH`; a deeper one is drawn back towards a sound pose of the same meaning.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Int

from recon.hand.model import HandModel, HandParams
from synth.world.anatomy import default_anatomy

ALLOWED_DEPTH = 0.0045
"""Metres by which two capsules may overlap."""
_FIRST_JOINT = (13, 1, 4, 10, 7)
"""MANO joint at the base of thumb, index, middle, ring, little."""


@dataclass(frozen=True)
class Flesh:
    """Capsules around the bones at rest: five fingers of three, then the four metacarpals of the palm."""

    starts: Float[np.ndarray, "19 3"]
    """Metres, in the rest frame, wrist at the origin; the flesh lies to the palm side of the bones."""
    ends: Float[np.ndarray, "19 3"]
    radii: Float[np.ndarray, " 19"]


@cache
def default_flesh() -> Flesh:
    """The capsules of the default hand, measured on its mesh."""
    model = HandModel.default()
    mesh = model(HandParams.from_rotvec(torch.zeros(1, 10), torch.zeros(1, 3), torch.zeros(1, 45)))
    vertices, joints = mesh.vertices[0].numpy().astype(np.float64), mesh.joints[0].numpy().astype(np.float64)
    parts = model.part_of_vertex.numpy()
    starts, ends, radii = [], [], []
    for finger, first in enumerate(_FIRST_JOINT):
        for bone in range(3):
            start, end = joints[1 + 4 * finger + bone], joints[2 + 4 * finger + bone]
            offset, radius = _around(vertices[parts == first + bone], start, end)
            shorter = (end - start) / np.linalg.norm(end - start) * radius * (bone == 2)
            starts.append(start + offset)
            ends.append(end + offset * (0.4 if bone == 2 else 1.0) - shorter)
            radii.append(radius)
    for base in joints[[5, 9, 13, 17]]:
        starts.append(0.35 * base + np.array([0.0, -0.005, 0.0]))
        ends.append(0.9 * base + np.array([0.0, -0.005, 0.0]))
        radii.append(0.0135)
    return Flesh(np.stack(starts), np.stack(ends), np.array(radii))


def _around(vertices: np.ndarray, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, float]:
    """Offset and radius of the capsule that best holds the middle of a part."""
    along = end - start
    t = (vertices - start) @ along / (along @ along)
    across = (vertices - start - t[:, None] * along)[(t > 0.1) & (t < 0.85)]
    offset = (across.max(0) + across.min(0)) / 2
    return offset, min(float(np.median(np.linalg.norm(across - offset, axis=1))), 0.0125)


def pose_bones(
    hand_pose: Float[np.ndarray, "*n 15 3 3"], rest_joints: Float[np.ndarray, "21 3"]
) -> tuple[Float[np.ndarray, "*n 21 3"], Float[np.ndarray, "*n 15 3 3"]]:
    """Joints and bone rotations of posed hands, wrist at the origin, hand upright as at rest.

    Fingertips ride rigidly on their last bone, which holds within a few millimetres of the skinned mesh.

    Returns:
        Joints in OpenPose order; rotations of the 15 finger bones, thumb to little, base to tip.
    """
    batch = hand_pose.shape[:-3]
    joints, turns = np.zeros((*batch, 21, 3)), np.empty((*batch, 15, 3, 3))
    for finger, first in enumerate(_FIRST_JOINT):
        rest = rest_joints[1 + 4 * finger : 5 + 4 * finger]
        turn = np.broadcast_to(np.eye(3), (*batch, 3, 3))
        joints[..., 1 + 4 * finger, :] = rest[0]
        for k in range(3):
            turn = turn @ hand_pose[..., first - 1 + k, :, :]
            turns[..., 3 * finger + k, :, :] = turn
            joints[..., 2 + 4 * finger + k, :] = joints[..., 1 + 4 * finger + k, :] + turn @ (rest[k + 1] - rest[k])
    return joints, turns


def pose_flesh(
    hand_pose: Float[np.ndarray, "*n 15 3 3"],
) -> tuple[Float[np.ndarray, "*n 19 3"], Float[np.ndarray, "*n 19 3"]]:
    """Starts and ends of the default hand's capsules in a pose."""
    rest, flesh = default_anatomy().rest_joints, default_flesh()
    joints, turns = pose_bones(hand_pose, rest)
    roots = [1 + 4 * finger + bone for finger in range(5) for bone in range(3)]
    palm_shape = (*hand_pose.shape[:-3], 4, 3)

    def posed(points: np.ndarray) -> np.ndarray:
        local = points[:15] - rest[roots]
        moved = (turns @ local[:, :, None])[..., 0] + joints[..., roots, :]
        return np.concatenate([moved, np.broadcast_to(points[15:], palm_shape)], axis=-2)

    return posed(flesh.starts), posed(flesh.ends)


@cache
def _shape_joints() -> Float[np.ndarray, "10 21 3"]:
    """How each shape component moves the joints at rest."""
    model = HandModel.default()
    betas = torch.cat([torch.zeros(1, 10), torch.eye(10)])
    mesh = model(HandParams.from_rotvec(betas, torch.zeros(11, 3), torch.zeros(11, 45)))
    joints = mesh.joints.numpy().astype(np.float64)
    return joints[1:] - joints[0]


def rest_joints_of(betas: Float[np.ndarray, " 10"]) -> Float[np.ndarray, "21 3"]:
    """Joints at rest of the default hand in another shape, wrist at the origin, metres."""
    return default_anatomy().rest_joints + np.tensordot(betas, _shape_joints(), axes=1)


@cache
def contact_pairs() -> Int[np.ndarray, "p 2"]:
    """Pairs of capsules that must not pass through each other.

    Left out: bones of one finger, neighbouring proximal bones (they always touch), a finger's proximal bone with
    the palm and the thumb's metacarpal with the palm.
    """
    pairs = []
    for a in range(15):
        for b in range(a + 1, 15):
            finger_a, bone_a, finger_b, bone_b = a // 3, a % 3, b // 3, b % 3
            if finger_a == finger_b or (bone_a == 0 and bone_b == 0):
                continue
            pairs.append((a, b))
        if a % 3 > 0:
            pairs += [(a, palm) for palm in range(15, 19) if not (a == 1 and palm == 15)]
    return np.array(pairs)


def contact_depth(hand_pose: Float[np.ndarray, "*n 15 3 3"]) -> Float[np.ndarray, "*n"]:
    """Deepest overlap of two capsules in metres, 0 where nothing touches, on the default hand."""
    return np.asarray(np.maximum(0.0, pair_overlaps(hand_pose).max(axis=-1)))


def pair_overlaps(hand_pose: Float[np.ndarray, "*n 15 3 3"]) -> Float[np.ndarray, "*n p"]:
    """Overlap in metres of every pair of `contact_pairs`; negative where they stand apart."""
    starts, ends = pose_flesh(hand_pose)
    first, second = contact_pairs().T
    distance = segment_distance(
        starts[..., first, :], ends[..., first, :], starts[..., second, :], ends[..., second, :]
    )
    radii = default_flesh().radii
    return radii[first] + radii[second] - distance


def segment_distance(
    p0: Float[np.ndarray, "*n 3"],
    p1: Float[np.ndarray, "*n 3"],
    q0: Float[np.ndarray, "*n 3"],
    q1: Float[np.ndarray, "*n 3"],
) -> Float[np.ndarray, "*n"]:
    """Shortest distance between the segments p0-p1 and q0-q1."""
    d1, d2, r = p1 - p0, q1 - q0, p0 - q0
    a, e, f = (d1 * d1).sum(-1), (d2 * d2).sum(-1), (d2 * r).sum(-1)
    b, c = (d1 * d2).sum(-1), (d1 * r).sum(-1)
    denominator = a * e - b * b
    s = np.clip(np.where(denominator > 1e-14, (b * f - c * e) / np.maximum(denominator, 1e-14), 0.0), 0.0, 1.0)
    t = np.clip((b * s + f) / e, 0.0, 1.0)
    s = np.clip((b * t - c) / a, 0.0, 1.0)
    return np.asarray(np.linalg.norm(p0 + d1 * s[..., None] - q0 - d2 * t[..., None], axis=-1))
