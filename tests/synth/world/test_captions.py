"""Captions are measured on the hand: they follow the angles and the orientation, and mirror with the side."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from synth.captions import describe_hand, sided
from synth.world.poses import POSES
from synth.world.scene import orientation
from synth.world.world import World


@pytest.mark.parametrize(
    ("name", "straight"),
    [("open palm", 4), ("fist", 0), ("victory", 2), ("pointing", 1), ("W", 3), ("rock", 2), ("Y", 1), ("ok", 3)],
)
def test_straight_fingers_are_counted_from_the_angles(name: str, straight: int) -> None:
    upright = Rotation.from_matrix(orientation(0.0, 0.0, 0.0)).as_rotvec()
    hand = describe_hand(POSES[name].hand_pose_rotvec, upright, True)
    assert list(hand.fingers.values()).count("straight") == straight


@pytest.mark.parametrize(
    ("yaw", "tilt", "palm", "direction"),
    [
        (0, 0, "palm", "up"),
        (180, 0, "back", "up"),
        (0, 180, "palm", "down"),
        (0, 90, "palm", "left"),
        (180, 90, "back", "right"),
        (180, -90, "back", "left"),
    ],
)
def test_views_of_a_right_hand(yaw: float, tilt: float, palm: str, direction: str) -> None:
    turn = Rotation.from_matrix(orientation(float(yaw), 0.0, float(tilt))).as_rotvec()
    hand = describe_hand(np.zeros(45), turn, True)
    assert (hand.palm, hand.direction) == (palm, direction)


def test_a_mirrored_hand_swaps_side_and_direction_only() -> None:
    flip = np.array([1.0, -1.0, -1.0])
    turn = Rotation.from_matrix(orientation(10.0, 5.0, 80.0)).as_rotvec()
    pose = POSES["victory"].hand_pose_rotvec
    right = describe_hand(pose, turn, True)
    left = describe_hand((pose.reshape(15, 3) * flip).reshape(45), turn * flip, False)
    assert (left.side, right.side) == ("left", "right")
    assert (left.direction, right.direction) == ("right", "left")
    assert left.fingers == right.fingers and left.palm == right.palm


def test_scenes_have_at_least_eight_true_wordings() -> None:
    world = World(3)
    for index in range(30):
        scene = world.scene(index)
        assert len(set(scene.captions)) >= 8
        wrong = "left" if scene.is_right else "right"
        for caption in scene.captions:
            assert f"{wrong} hand" not in caption
        assert any(word in "".join(scene.captions) for word in scene.skin.words)


def test_side_is_put_into_a_phrase() -> None:
    assert sided("a fist", "left") == "a left fist"
    assert sided("the ASL letter B", "right") == "the ASL letter B with the right hand"
