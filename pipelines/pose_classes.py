"""How well sampled hands show the pose that was asked for (MMHMR section D, Table 10): every letter and gesture.

Poses are compared with the wrist's orientation and the hand's shape taken out, and classes that differ by name or
orientation alone (Y and "call me") count as one: it is the fingers that are judged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from eval.text_to_mesh import TextToMeshScores, nearest_class, text_to_mesh_scores
from recon.hand.model import HandModel, HandParams
from synth.world.poses import POSES

ASKED_KINDS = ("letter", "gesture")


@dataclass(frozen=True)
class PoseClassScores:
    """Samples of every asked class beside the library.

    Attributes:
        samples: per class.
        classes: shapes that a sample may be nearest to, grasps included.
        rate: share of all samples nearest to the asked class.
        rate_of_class: asked class -> share of its samples.
        least: the class with the smallest share.
        distances: Table 10's figures of the samples against the asked class, with their diversity.
    """

    samples: int
    classes: int
    rate: float
    rate_of_class: dict[str, float]
    least: str
    distances: TextToMeshScores


def asked_classes() -> list[str]:
    """Names of the letters and gestures, in the library's order."""
    return [name for name, pose in POSES.items() if pose.kind in ASKED_KINDS]


def prompts_of(name: str, count: int) -> list[str]:
    """`count` prompts for a class: its wordings in turn."""
    words = POSES[name].words
    return [words[i % len(words)] for i in range(count)]


def finger_vertices(hand: HandModel, hand_pose: Float[Tensor, "n 15 3 3"]) -> Float[np.ndarray, "n v 3"]:
    """Vertices of right hands of mean shape and at rest in the wrist, metres."""
    n = len(hand_pose)
    upright = torch.eye(3).expand(n, 1, 3, 3)
    with torch.inference_mode():
        mesh = hand(HandParams(betas=torch.zeros(n, 10), global_orient=upright, hand_pose=hand_pose))
    return mesh.vertices.numpy().astype(np.float64)


def pose_class_scores(
    hand: HandModel, params: HandParams, is_right: Bool[Tensor, " n"], asked: Sequence[str]
) -> PoseClassScores:
    """Scores of samples, the same number for each class, those of one class together.

    Args:
        hand: draws all hands.
        params: sampled hands; those of left hands are the left model's.
        is_right: their sides.
        asked: the class that each was asked for, a key of `POSES`.

    Raises:
        ValueError: the classes do not come in equal blocks.
    """
    names = list(dict.fromkeys(asked))
    samples = len(asked) // max(len(names), 1)
    if not names or list(asked) != [name for name in names for _ in range(samples)] or len(is_right) != len(asked):
        raise ValueError(f"{len(asked)} samples of {len(names)} classes are not in equal blocks of one class each")
    mirrored = params.mirrored().hand_pose
    vertices = finger_vertices(hand, torch.where(is_right[:, None, None, None], params.hand_pose, mirrored).float())
    shapes = list(dict.fromkeys(pose.shape for pose in POSES.values()))
    first = {pose.shape: pose for pose in reversed(POSES.values())}
    rotvec = torch.from_numpy(np.stack([first[shape].hand_pose_rotvec for shape in shapes])).float()
    meant = HandParams.from_rotvec(torch.zeros(len(shapes), 10), torch.zeros(len(shapes), 3), rotvec)
    library = finger_vertices(hand, meant.hand_pose)
    wanted = np.array([shapes.index(POSES[name].shape) for name in names])
    right = (nearest_class(vertices, library).reshape(len(names), samples) == wanted[:, None]).mean(1)
    rates = {name: float(rate) for name, rate in zip(names, right, strict=True)}
    return PoseClassScores(
        samples=samples,
        classes=len(shapes),
        rate=float(right.mean()),
        rate_of_class=rates,
        least=min(rates, key=lambda name: rates[name]),
        distances=text_to_mesh_scores(vertices.reshape(len(names), samples, *vertices.shape[1:]), library[wanted]),
    )
