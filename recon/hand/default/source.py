"""Sampled hands of the Anny body model, laid flat: the raw material of the default hand (DESIGN section 4).

Anny's code is Apache-2.0 and its MakeHuman data CC0. Every sample is moved into MANO's axes for a right hand and its
fingers are straightened, so that all samples share one rest pose and differ in shape alone.
"""

from dataclasses import dataclass

import numpy as np
from anny import Anny
from jaxtyping import Float, Int

from recon.hand.skeleton import MANO_FINGERS

_ANNY_FINGER = {"thumb": 1, "index": 2, "middle": 3, "ring": 4, "little": 5}
_SPREAD_DEG = {"index": 7.0, "middle": 0.0, "ring": -7.0, "little": -15.0}
_ROLL_DEG = {"index": 4.0, "middle": 0.0, "ring": -4.0, "little": -9.0}
_THUMB_DIRECTION = np.array([-0.70, -0.27, 0.66])


@dataclass(frozen=True)
class SourceHands:
    """Hands of many people in one flat rest pose, in MANO's right-hand axes with the wrist joint at the origin."""

    vertices: Float[np.ndarray, "s v 3"]
    """Metres; sample 0 is Anny's average adult."""
    joints: Float[np.ndarray, "s 16 3"]
    """Metres, MANO's native order."""
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
    palm = np.cross(flexion, along)
    flexion = np.cos(roll) * flexion + np.sin(roll) * palm
    return np.stack([flexion, along, np.cross(flexion, along)], axis=1)


def _hand_axes(heads: dict[str, np.ndarray]) -> np.ndarray:
    """Rotation from Anny's world into MANO's axes: -x to the middle knuckle, +z to the thumb side, +y out of the back."""
    x = _unit(heads["wrist.R"] - heads["finger3-1.R"])
    z = heads["finger2-1.R"] - heads["finger5-1.R"]
    z = _unit(z - z @ x * x)
    return np.stack([x, np.cross(z, x), z])


def _flat_rotations(labels: list[str], heads: dict[str, np.ndarray], frames: dict[str, np.ndarray]) -> np.ndarray:
    """Per bone, the rotation that takes it from Anny's rest pose into the flat one."""
    axes = _hand_axes(heads)
    rotations = {label: axes for label in labels}
    thumb = axes @ frames["finger1-2.R"]
    thumb_target = _shortest_rotation(thumb[:, 1], _THUMB_DIRECTION) @ thumb
    for finger, number in _ANNY_FINGER.items():
        target = thumb_target if finger == "thumb" else _finger_frame(finger)
        names = [f"finger{number}-{i}.R" for i in (1, 2, 3)]
        for i, name in enumerate(names):
            turned = target @ frames[name].T
            if i < 2:
                bone = turned @ (heads[names[i + 1]] - heads[name])
                turned = _shortest_rotation(bone, target[:, 1]) @ turned
            rotations[name] = turned
    return np.stack([rotations[label] for label in labels])


def _flatten(
    vertices: np.ndarray, poses: np.ndarray, weights: np.ndarray, labels: list[str], parents: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Skin one sample into the flat pose; gives vertices and bone heads with the wrist at the origin."""
    heads = dict(zip(labels, poses[:, :3, 3], strict=True))
    frames = dict(zip(labels, poses[:, :3, :3], strict=True))
    rotations = _flat_rotations(labels, heads, frames)
    places = np.zeros((len(labels), 3))
    for bone, parent in enumerate(parents):
        if parent >= 0:
            offset = heads[labels[bone]] - heads[labels[parent]]
            places[bone] = places[parent] + rotations[parent] @ offset
    source = np.stack([heads[label] for label in labels])
    moved = np.einsum("kij,vkj->vki", rotations, vertices[:, None] - source[None]) + places[None]
    return np.einsum("vk,vki->vi", weights, moved), places


def _mano_columns(labels: list[str]) -> list[list[int]]:
    """For each of MANO's joints, the Anny bones folded into it; everything before a knuckle belongs to the wrist."""
    fingers = [[labels.index(f"finger{_ANNY_FINGER[finger]}-{i}.R")] for finger in MANO_FINGERS for i in (1, 2, 3)]
    taken = {index for group in fingers for index in group}
    return [[index for index in range(len(labels)) if index not in taken], *fingers]


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
        "r-hand-scale-incr": rng.normal(0, 0.15, count),
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
    import torch

    changes = "all"
    model = Anny(rig="anny-hand.R", topology="hand.R", skinning_method="lbs", local_changes=changes)
    labels, parents = list(model.bone_labels), list(model.bone_parents)
    phenotype, local = _draw_people(count, np.random.default_rng(seed))
    with torch.no_grad():
        rest = model(
            phenotype_kwargs={name: torch.from_numpy(values) for name, values in phenotype.items()},
            local_changes_kwargs={name: torch.from_numpy(values) for name, values in local.items()},
        )
    vertices, poses = rest["rest_vertices"].double().numpy(), rest["rest_bone_poses"].double().numpy()
    weights = model.dense_vertex_bone_weights.double().numpy()
    columns = _mano_columns(labels)
    flat = [_flatten(v, p, weights, labels, parents) for v, p in zip(vertices, poses, strict=True)]
    return SourceHands(
        vertices=np.stack([v for v, _ in flat]),
        joints=np.stack([heads[[group[0] for group in columns]] for _, heads in flat]),
        weights=np.stack([weights[:, group].sum(axis=1) for group in columns], axis=1),
        faces=model.get_triangular_faces().numpy(),
    )
