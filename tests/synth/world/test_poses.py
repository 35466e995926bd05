"""The pose library: complete, within limits, never through itself; angles and rotation vectors are inverse."""

import numpy as np
import pytest

from synth.world.anatomy import LIMITS, default_anatomy
from synth.world.contact import ALLOWED_DEPTH, contact_depth, segment_distance
from synth.world.poses import POSES, same_shape_group, sample_pose


def test_library_is_complete() -> None:
    kinds = [pose.kind for pose in POSES.values()]
    assert [name for name, pose in POSES.items() if pose.kind == "letter"] == list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert kinds.count("gesture") >= 20
    assert kinds.count("grasp") >= 6
    for name in ("fist", "open palm", "thumbs up", "thumbs down", "victory", "ok", "pointing", "call", "rock", "claw"):
        assert name in POSES


def test_every_class_keeps_limits_and_does_not_pass_through_itself() -> None:
    anatomy = default_anatomy()
    for pose in POSES.values():
        assert (pose.angles >= LIMITS[:, 0]).all() and (pose.angles <= LIMITS[:, 1]).all(), pose.name
        assert contact_depth(anatomy.to_matrices(pose.angles)) <= ALLOWED_DEPTH, pose.name


def test_same_shape_groups_are_an_equivalence() -> None:
    for name in POSES:
        group = same_shape_group(name)
        assert name in group
        assert all(same_shape_group(other) == group for other in group)
        assert all(np.array_equal(POSES[other].angles, POSES[name].angles) for other in group)
    assert {"Y", "call"} <= same_shape_group("Y") and {"V", "victory"} <= same_shape_group("V")
    assert {"F", "ok"} <= same_shape_group("F") and {"K", "P"} <= same_shape_group("K")
    with pytest.raises(KeyError, match="'jazz hands'"):
        same_shape_group("jazz hands")


def test_different_shapes_are_apart() -> None:
    shapes = {pose.shape: pose.angles for pose in POSES.values()}
    names = list(shapes)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            assert np.abs(shapes[first] - shapes[second]).max() >= 8, (first, second)


def test_drawn_poses_keep_limits_and_depth() -> None:
    rng = np.random.default_rng(3)
    drawn = [sample_pose(rng) for _ in range(300)]
    angles = np.stack([pose.angles for pose in drawn])
    assert (angles >= LIMITS[:, 0] - 1e-9).all() and (angles <= LIMITS[:, 1] + 1e-9).all()
    assert contact_depth(default_anatomy().to_matrices(angles)).max() <= ALLOWED_DEPTH
    assert {pose.kind for pose in drawn} == {"letter", "gesture", "grasp", "blend", "random"}


def test_samples_of_one_class_differ_but_stay_near() -> None:
    rng = np.random.default_rng(0)
    samples = np.stack([sample_pose(rng, "victory").angles for _ in range(20)])
    assert samples.std(axis=0)[5:].min() > 0.3
    assert np.abs(samples - POSES["victory"].angles).max() < 25


def test_angles_survive_the_way_to_rotation_vectors_and_back() -> None:
    rng = np.random.default_rng(1)
    angles = rng.uniform(LIMITS[:, 0], LIMITS[:, 1], (200, 21)) * 0.95
    anatomy = default_anatomy()
    np.testing.assert_allclose(anatomy.to_angles(anatomy.to_rotvec(angles)), angles, atol=1e-6)


def test_flexion_bends_towards_the_palm() -> None:
    anatomy = default_anatomy()
    fist = anatomy.to_rotvec(POSES["fist"].angles).reshape(15, 3)
    assert (fist[[0, 3, 9], 2] > 0.8).all()


def test_segment_distance_matches_a_search() -> None:
    rng = np.random.default_rng(2)
    p0, p1, q0, q1 = rng.normal(size=(4, 50, 3))
    t = np.linspace(0, 1, 201)
    first = p0[:, None] + t[:, None] * (p1 - p0)[:, None]
    second = q0[:, None] + t[:, None] * (q1 - q0)[:, None]
    naive = np.linalg.norm(first[:, :, None] - second[:, None], axis=-1).min(axis=(1, 2))
    exact = segment_distance(p0, p1, q0, q1)
    assert (exact <= naive + 1e-12).all()
    np.testing.assert_allclose(exact, naive, atol=0.02)
