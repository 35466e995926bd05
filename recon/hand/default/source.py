"""Sampled hands of the Anny body model, laid flat: the raw material of the default hand (DESIGN section 4).

Anny's code is Apache-2.0 and its MakeHuman data CC0. Every sample is moved into MANO's axes for a right hand and its
fingers are straightened, so that all samples share one rest pose and differ in shape alone.
"""

from dataclasses import dataclass

import numpy as np
import torch
from anny import Anny
from jaxtyping import Float, Int

from recon.hand.default.weights import bone_heat_weights
from recon.hand.skeleton import MANO_FINGERS, MANO_PARENTS

_ANNY_FINGER = {"thumb": 1, "index": 2, "middle": 3, "ring": 4, "little": 5}
_SPREAD_DEG = {"index": 7.0, "middle": 0.0, "ring": -7.0, "little": -15.0}
_ROLL_DEG = {"index": 4.0, "middle": 0.0, "ring": -4.0, "little": -9.0}
_THUMB_DIRECTION = np.array([-0.70, -0.33, 0.64])
# Anny's knuckles lie near the webs of the fingers; a real proximal phalanx reaches deeper into the palm.
_KNUCKLE_BACK = {"thumb": 0.28, "index": 0.38, "middle": 0.30, "ring": 0.32, "little": 0.30}
_JOINT_DEPTH = 0.033  # of the palm's length, from Anny's joints near the back of the finger toward its middle
_HAND_SCALE = 0.90  # Anny's hands are long for their bodies; this brings the mean hand to 185 mm


@dataclass(frozen=True)
class SourceHands:
    """Hands of many people in one flat rest pose, in MANO's right-hand axes with the wrist joint at the origin."""

    vertices: Float[np.ndarray, "s v 3"]
    """Metres; sample 0 is Anny's average adult."""
    joints: Float[np.ndarray, "s 16 3"]
    """Metres, MANO's native order."""
    frames: Float[np.ndarray, "16 3 3"]
    """Per joint, columns: flexion axis, direction of the bone, palm side; the same for all samples."""
    weights: Float[np.ndarray, "v 16"]
    """Skinning weights, rows sum to one."""
    faces: Int[np.ndarray, "f 3"]


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _shortest_rotation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Rotation matrix that takes direction a to direction b along the great circle."""
    a, b = _unit(a), _unit(b)
    axis = np.cross(a, b)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1 + a @ b)


def _finger_frame(finger: str) -> np.ndarray:
    """Columns: flexion axis, direction of the finger, palm side; all in MANO's axes."""
    spread, roll = np.deg2rad(_SPREAD_DEG[finger]), np.deg2rad(_ROLL_DEG[finger])
    along = np.array([-np.cos(spread), 0, np.sin(spread)])
    flexion = np.array([np.sin(spread), 0, np.cos(spread)])
    flexion = np.cos(roll) * flexion + np.sin(roll) * np.cross(flexion, along)
    return np.stack([flexion, along, np.cross(flexion, along)], axis=1)


def hand_axes(joints: Float[np.ndarray, "16 3"]) -> Float[np.ndarray, "3 3"]:
    """Rotation into MANO's axes: -x to the middle knuckle, +z to the thumb side, +y out of the back."""
    x = _unit(joints[0] - joints[4])
    z = joints[1] - joints[7]
    z = _unit(z - z @ x * x)
    return np.stack([x, np.cross(z, x), z])


def _deepen(joints: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Anny's 16 joints moved where a skeleton has them: inside the finger, and the knuckles back into the palm."""
    moved = joints.copy()
    depth = _JOINT_DEPTH * np.linalg.norm(joints[4] - joints[0])
    for number, finger in enumerate(MANO_FINGERS):
        base = 1 + 3 * number
        moved[base] -= _KNUCKLE_BACK[finger] * (joints[base + 1] - joints[base])
        if finger != "thumb":
            moved[base : base + 3] += depth * frames[base : base + 3, :, 2]
    return moved


def rest_frames(joints: Float[np.ndarray, "16 3"], frames: Float[np.ndarray, "16 3 3"]) -> Float[np.ndarray, "16 3 3"]:
    """The frames of the flat rest pose, in MANO's axes; the thumb's is Anny's own, turned toward the palm's plane."""
    axes = hand_axes(joints)
    thumb = axes @ frames[14]
    targets = [np.stack([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]], axis=1)]
    for finger in MANO_FINGERS:
        thumb_frame = _shortest_rotation(thumb[:, 1], _THUMB_DIRECTION) @ thumb
        targets += 3 * [thumb_frame if finger == "thumb" else _finger_frame(finger)]
    return np.stack(targets)


def _fingertips(vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Ids of the five vertices farthest from the last joint of their finger, in the order of `MANO_FINGERS`."""
    tips = []
    for joint in range(3, 16, 3):
        own = np.flatnonzero(weights.argmax(axis=1) == joint)
        tips.append(own[np.linalg.norm(vertices[own] - joints[joint], axis=1).argmax()])
    return np.array(tips)


def _flatten(
    vertices: np.ndarray,
    joints: np.ndarray,
    frames: np.ndarray,
    weights: np.ndarray,
    targets: np.ndarray,
    tips: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Skin one sample into the flat pose; gives vertices and joints with the wrist at the origin."""
    rotations = targets @ frames.transpose(0, 2, 1)
    rotations[0] = hand_axes(joints)
    for joint in range(1, 16):
        end = joints[joint + 1] if joint % 3 else vertices[tips[joint // 3 - 1]]
        bone = rotations[joint] @ (end - joints[joint])
        rotations[joint] = _shortest_rotation(bone, targets[joint][:, 1]) @ rotations[joint]
    places = np.zeros((16, 3))
    for joint in range(1, 16):
        parent = MANO_PARENTS[joint]
        places[joint] = places[parent] + rotations[parent] @ (joints[joint] - joints[parent])
    moved = np.einsum("kij,vkj->vki", rotations, vertices[:, None] - joints) + places
    return np.einsum("vk,vki->vi", weights, moved), places


def _bones(vertices: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bones as (starts, ends, joints that turn them): five metacarpals, a stub of the forearm, three per finger."""
    starts, ends, turned_by = [joints[0]], [joints[0] + 0.3 * (joints[0] - joints[4])], [0]
    for base in range(1, 16, 3):
        chain = joints[base : base + 3]
        direction = _unit(chain[2] - chain[1])
        near = np.linalg.norm(np.cross(vertices - chain[2], direction), axis=1) < 0.009
        length = ((vertices[near] - chain[2]) @ direction).max()
        points = [joints[0], *chain, chain[2] + 0.8 * length * direction]
        for i in range(4):
            starts.append(points[i])
            ends.append(points[i + 1])
            turned_by.append(0 if i == 0 else base + i - 1)
    return np.stack(starts), np.stack(ends), np.array(turned_by)


def _draw_people(count: int, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Phenotypes and right-hand proportions of `count` people; the first is the average adult."""
    children = rng.random(count) < 0.18
    phenotype = {
        "age": np.where(children, rng.uniform(0.34, 0.6, count), rng.uniform(0.6, 1.0, count)),
        "gender": rng.uniform(0.0, 1.0, count),
        "muscle": rng.uniform(0.1, 1.0, count),
        "weight": rng.uniform(0.05, 1.0, count),
        "height": rng.uniform(0.2, 0.8, count),
        "proportions": rng.uniform(0.0, 1.0, count),
    }
    local = {
        "r-hand-fingers-length-incr": rng.normal(0, 0.35, count),
        "r-hand-fingers-diameter-incr": rng.normal(0, 0.4, count),
        "measure-wrist-circ-incr": rng.normal(0, 0.3, count),
    }
    for name in phenotype:
        phenotype[name][0] = 0.67 if name == "age" else 0.5
    for name in local:
        local[name] = np.clip(local[name], -1, 1)
        local[name][0] = 0.0
    return phenotype, local


def sample_hands(count: int, seed: int = 0) -> SourceHands:
    """Draw people and lay their right hands flat.

    Args:
        count: how many people, at least 1; the first is the average adult.
        seed: seed of the draw.
    """
    model = Anny(rig="anny-hand.R", topology="hand.R", skinning_method="lbs", local_changes="all")
    names = ["wrist.R", *(f"finger{_ANNY_FINGER[finger]}-{i}.R" for finger in MANO_FINGERS for i in (1, 2, 3))]
    chosen = [model.bone_labels.index(name) for name in names]
    phenotype, local = _draw_people(count, np.random.default_rng(seed))
    with torch.no_grad():
        rest = model(
            phenotype_kwargs={name: torch.from_numpy(values) for name, values in phenotype.items()},
            local_changes_kwargs={name: torch.from_numpy(values) for name, values in local.items()},
        )
    vertices = rest["rest_vertices"].double().numpy() * _HAND_SCALE
    poses = rest["rest_bone_poses"].double().numpy()[:, chosen]
    frames = poses[:, :, :3, :3]
    joints = np.stack([_deepen(j * _HAND_SCALE, f) for j, f in zip(poses[:, :, :3, 3], frames, strict=True)])
    faces = model.get_triangular_faces().numpy()
    weights = bone_heat_weights(vertices[0], faces, *_bones(vertices[0], joints[0]))
    targets = rest_frames(joints[0], frames[0])
    tips = _fingertips(vertices[0], joints[0], weights)
    flat = [_flatten(v, j, f, weights, targets, tips) for v, j, f in zip(vertices, joints, frames, strict=True)]
    return SourceHands(
        vertices=np.stack([v for v, _ in flat]),
        joints=np.stack([j for _, j in flat]),
        frames=targets,
        weights=weights,
        faces=faces,
    )
