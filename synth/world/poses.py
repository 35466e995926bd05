"""The whole pose library and poses drawn from it: perturbed, blended, random (DESIGN section 5)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from synth.world.anatomy import LIMITS, default_anatomy
from synth.world.contact import ALLOWED_DEPTH, contact_depth
from synth.world.gestures import GESTURES, GRASPS
from synth.world.letters import LETTERS
from synth.world.pose_class import PoseClass

POSES: dict[str, PoseClass] = {pose.name: pose for pose in (*LETTERS, *GESTURES, *GRASPS)}
"""Every named pose; letters by their capital."""

_KIND_SHARES = {"letter": 0.36, "gesture": 0.34, "grasp": 0.08, "blend": 0.08, "random": 0.14}
_FLEXION_NOISE = 4.5
_SPREAD_NOISE = 2.0


@dataclass(frozen=True)
class DrawnPose:
    """A pose for one scene."""

    name: str
    """Key of `POSES`, or "" for blends and random poses."""
    kind: str
    angles: Float[np.ndarray, " 21"]
    """Degrees, `anatomy.ANGLE_NAMES` order."""
    hand_pose_rotvec: Float[np.ndarray, " 45"]


def same_shape_group(name: str) -> frozenset[str]:
    """Names of all classes with the hand shape of `name`, itself included.

    Raises:
        KeyError: `name` is not in the library.
    """
    if name not in POSES:
        raise KeyError(f"pose {name!r} is not in the library of {len(POSES)} poses: {', '.join(POSES)}")
    return frozenset(other.name for other in POSES.values() if other.shape == POSES[name].shape)


def sample_pose(rng: np.random.Generator, name: str | None = None) -> DrawnPose:
    """Draw one pose: a perturbed class (the given one, if any), a blend of two classes or a random pose.

    Every pose keeps `LIMITS` and touches itself no deeper than `contact.ALLOWED_DEPTH`.
    """
    if name is not None:
        return _drawn(name, POSES[name].kind, _perturbed(POSES[name], rng), POSES[name].angles)
    kind = str(rng.choice(list(_KIND_SHARES), p=list(_KIND_SHARES.values())))
    if kind in ("letter", "gesture", "grasp"):
        names = [pose.name for pose in POSES.values() if pose.kind == kind]
        chosen = POSES[str(rng.choice(names))]
        return _drawn(chosen.name, kind, _perturbed(chosen, rng), chosen.angles)
    relaxed = POSES["relaxed hand"].angles
    if kind == "blend":
        first, second = (POSES[str(n)] for n in rng.choice(list(POSES), 2, replace=False))
        share = rng.uniform(0.25, 0.75)
        return _drawn("", kind, share * _perturbed(first, rng) + (1 - share) * _perturbed(second, rng), relaxed)
    return _drawn("", kind, _random_angles(rng), relaxed)


def _perturbed(pose: PoseClass, rng: np.random.Generator) -> np.ndarray:
    """A class as different people make it: noise shared by all fingers plus noise of each joint."""
    noise = rng.normal(0, _FLEXION_NOISE, 21)
    noise[5:].reshape(4, 4)[:, [0, 2, 3]] += rng.normal(0, 2.5, 3)
    noise[6::4] = rng.normal(0, _SPREAD_NOISE, 4)
    return pose.angles + np.clip(noise, -12, 12)


def _random_angles(rng: np.random.Generator) -> np.ndarray:
    """Anatomical: PIP and DIP bend together, neighbours follow each other, the thumb moves freely."""
    curl = np.clip(rng.uniform(0, 1) + rng.normal(0, 0.35, 4), 0, 1)
    angles = np.empty(21)
    angles[:5] = rng.uniform([-25, -5, -10, -5, -10], [40, 45, 35, 35, 55])
    pip = 102 * curl
    angles[5::4] = np.clip(rng.normal(0.65 * pip, 20), -15, 88)
    angles[6::4] = np.sort(rng.normal([9, 1, -8, -14], 5))[::-1] * (1 - 0.6 * curl)
    angles[7::4] = pip
    angles[8::4] = np.clip(0.6 * pip + rng.normal(0, 6, 4), -5, 75)
    return angles


def _drawn(name: str, kind: str, angles: np.ndarray, sound: np.ndarray) -> DrawnPose:
    """Step back from `angles` towards the `sound` pose until nothing passes through anything."""
    anatomy = default_anatomy()
    steps = np.array([1.0, 0.75, 0.5, 0.3, 0.15, 0.0])[:, None]
    tries = np.clip(sound + steps * (angles - sound), LIMITS[:, 0], LIMITS[:, 1])
    depths = contact_depth(anatomy.to_matrices(tries))
    best = tries[int(np.argmax(depths <= ALLOWED_DEPTH)) if (depths <= ALLOWED_DEPTH).any() else int(np.argmin(depths))]
    return DrawnPose(name, kind, best, anatomy.to_rotvec(best))
