"""Pose classes: the library names itself, noise does not, sides and orientation do not matter."""

import numpy as np
import pytest
import roma
import torch

from pipelines.pose_classes import asked_classes, pose_class_scores, prompts_of
from recon.hand.model import HandModel, HandParams
from synth.world.poses import POSES


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return HandModel.default()


def samples_of(names: list[str], noise: float) -> HandParams:
    generator = torch.Generator().manual_seed(0)
    pose = torch.tensor(np.stack([POSES[name].hand_pose_rotvec for name in names])).float()
    pose = pose + noise * torch.randn(pose.shape, generator=generator)
    turned = HandParams.from_rotvec(torch.randn(len(pose), 10, generator=generator), pose[:, :3] * 0, pose)
    orient = roma.random_rotmat(len(pose))[:, None]
    return HandParams(betas=turned.betas, global_orient=orient, hand_pose=turned.hand_pose)


def test_every_class_is_nearest_to_itself(hand):
    names = asked_classes()
    assert len([n for n in names if POSES[n].kind == "letter"]) == 26
    scores = pose_class_scores(hand, samples_of(names, 0.0), torch.ones(len(names), dtype=torch.bool), names)
    assert scores.rate == 1.0 and scores.samples == 1
    assert scores.distances.pa_mpvpe_mm_mean == pytest.approx(0.0, abs=1e-3)


def test_left_hands_count_like_right_ones(hand):
    asked = [name for name in ("A", "fist", "victory") for _ in range(4)]
    right = samples_of(asked, 0.05)
    sides = torch.tensor([True, False] * 6)
    left = right.mirrored()
    both = HandParams(
        betas=right.betas,
        global_orient=torch.where(sides[:, None, None, None], right.global_orient, left.global_orient),
        hand_pose=torch.where(sides[:, None, None, None], right.hand_pose, left.hand_pose),
    )
    ours = pose_class_scores(hand, both, sides, asked)
    expected = pose_class_scores(hand, right, torch.ones(12, dtype=torch.bool), asked)
    assert ours.rate_of_class == expected.rate_of_class
    assert ours.distances.pa_mpvpe_mm_mean == pytest.approx(expected.distances.pa_mpvpe_mm_mean, abs=1e-3)
    assert ours.distances.diversity_mm > 0.5


def test_a_wrong_pose_is_counted_and_named(hand):
    shown = ["fist", "fist", "open palm", "claw"]
    scores = pose_class_scores(
        hand, samples_of(shown, 0.0), torch.ones(4, dtype=torch.bool), ["fist", "fist", "open palm", "open palm"]
    )
    assert scores.rate_of_class == {"fist": 1.0, "open palm": 0.5}
    assert (scores.least, scores.rate) == ("open palm", 0.75)


def test_blocks_must_be_equal(hand):
    asked = ["fist", "claw", "fist"]
    with pytest.raises(ValueError, match="equal blocks"):
        pose_class_scores(hand, samples_of(asked, 0.0), torch.ones(3, dtype=torch.bool), asked)


def test_prompts_take_turns():
    words = POSES["fist"].words
    assert prompts_of("fist", len(words) + 1) == [*words, words[0]]
