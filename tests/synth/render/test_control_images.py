"""Control images: they lie where the camera says, mirror as hands do, and mark what is hidden."""

import numpy as np
import pytest
import torch
import trimesh

from recon.hand.camera import project
from synth.render.control_images import (
    mesh_control_image,
    mesh_control_images,
    occluded_joints,
    pose_control_image,
    pose_control_images,
)
from synth.render.rasterizer import control_maps, rasterize
from synth.render.skeleton_picture import joint_colors


@pytest.fixture(scope="module")
def ball():
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=0.05)
    return (mesh.vertices + [0.02, -0.01, 0.5]).astype(np.float32), mesh.faces.astype(np.int32)


def spread_keypoints(size=128.0):
    """A flat open hand, drawn by hand: wrist at the bottom, five fingers fanned out."""
    angles = np.deg2rad([-40, -22, -4, 14, 32])
    rows = [[0.5, 0.9]]
    for angle in angles:
        rows += [[0.5 + r * np.sin(angle), 0.9 - r * np.cos(angle)] for r in (0.3, 0.45, 0.57, 0.68)]
    return np.array(rows) * size


def test_the_mesh_picture_shows_normals_and_covers_the_mask(ball):
    vertices, faces = ball
    picture = mesh_control_image(vertices, faces, 350.0, None, 96)
    mask = control_maps(vertices, faces, np.zeros(len(vertices), int), 350.0, None, 96).mask
    assert picture.dtype == np.uint8 and picture.shape == (96, 96, 3)
    assert picture[mask].max(axis=-1).min() > 40
    assert not picture[:3].any() and np.mean(picture.any(axis=-1) != mask) < 0.02
    rows, columns = np.nonzero(mask)
    middle = picture[round(rows.mean()), round(columns.mean())]
    assert middle[2] > 245 and abs(int(middle[0]) - 128) < 16 and abs(int(middle[1]) - 128) < 16
    assert picture[round(rows.mean()), columns.max() - 2, 0] > 1.5 * picture[round(rows.mean()), columns.min() + 2, 0]
    assert picture[rows.min() + 2, round(columns.mean()), 1] > 1.5 * picture[rows.max() - 2, round(columns.mean()), 1]


def test_the_mesh_picture_is_antialiased(ball):
    vertices, faces = ball
    fine = mesh_control_image(vertices, faces, 500.0 * 8, None, 96 * 8).reshape(96, 8, 96, 8, 3).mean((1, 3))
    coarse = mesh_control_image(vertices, faces, 500.0, None, 96)
    assert np.abs(fine - coarse).mean() < 0.5
    assert np.abs(fine - coarse).max() < 60


def test_the_mirrored_hand_swaps_what_points_right_and_left(ball):
    vertices, faces = ball
    right = mesh_control_image(vertices, faces, 500.0).astype(int)
    left = mesh_control_image(vertices * np.float32([-1, 1, 1]), faces, 500.0).astype(int)[:, ::-1]
    inner = (right[..., 2] > 150) & (left[..., 2] > 150)
    assert inner.sum() > 1000
    assert np.abs(left[..., 1:] - right[..., 1:])[inner].max() <= 2
    light = right[..., 2][inner]  # red is light x (1 + n_x) / 2, so both reds add up to light alone
    assert np.corrcoef((left[..., 0] + right[..., 0])[inner], light)[0, 1] > 0.98


def test_pixels_are_where_the_camera_projects():
    triangle = np.array([[0, 0, 0.5], [0.004, 0, 0.5], [0, 0.004, 0.5]], dtype=np.float32)
    offset = np.float32([0.031, -0.052, 0.13])
    centroid = torch.from_numpy((triangle + offset).mean(0))
    pixel = project(centroid[None], torch.tensor(400.0), torch.tensor([50.0, 70.0]))[0].numpy()
    fragments = rasterize(triangle + offset, np.array([[0, 1, 2]]), 400.0, (50.0, 70.0), (120, 100))
    rows, columns = np.nonzero(fragments.face_ids == 0)
    assert len(rows) >= 2
    np.testing.assert_allclose([columns.mean() + 0.5, rows.mean() + 0.5], pixel, atol=0.5)


def test_every_joint_has_its_colour_and_hidden_ones_are_hollow():
    keypoints = spread_keypoints()
    shown = pose_control_image(keypoints, np.zeros(21, dtype=bool), 128)
    hidden = pose_control_image(keypoints, np.ones(21, dtype=bool), 128)
    columns, rows = np.floor(keypoints).astype(int).T
    np.testing.assert_allclose(shown[rows, columns], joint_colors(), atol=25)
    assert (hidden[rows, columns].max(-1) < 0.6 * shown[rows, columns].max(-1)).all()
    assert 0.02 < shown.any(-1).mean() < 0.2 and hidden.sum() < shown.sum()


def test_a_seen_finger_is_drawn_over_a_hidden_one():
    keypoints, occluded = spread_keypoints(), np.zeros(21, dtype=bool)
    keypoints[17:21] = keypoints[5:9]  # the little finger exactly on the index finger, later in the order
    occluded[17:21] = True
    picture = pose_control_image(keypoints, occluded, 128)
    columns, rows = np.floor(keypoints[6:9]).astype(int).T
    np.testing.assert_allclose(picture[rows, columns], joint_colors()[6:9], atol=25)


def test_lines_have_the_width_of_their_antialiased_coverage():
    small, large = (pose_control_image(spread_keypoints(s), None, s).astype(float) for s in (128, 1024))
    reduced = large.reshape(128, 8, 128, 8, 3).mean((1, 3))
    assert abs(small.sum() / reduced.sum() - 1) < 0.03


def test_missing_and_far_joints_are_left_out():
    keypoints = spread_keypoints()
    whole = pose_control_image(keypoints)
    keypoints[8] = np.nan
    keypoints[12] = 1e12
    picture = pose_control_image(keypoints)
    assert picture.any() and picture.sum() < whole.sum()
    third = np.column_stack([spread_keypoints(), np.r_[np.zeros(10), np.ones(11)]])
    np.testing.assert_array_equal(pose_control_image(third), pose_control_image(third[:, :2], np.arange(21) < 10))


def test_a_batch_is_its_singles(ball):
    vertices, faces = ball
    meshes = np.stack([vertices, vertices + np.float32([0.01, 0, 0.1])])
    focal = np.array([400.0, 500.0])
    both = mesh_control_images(meshes, faces, focal, None, 64)
    keypoints = np.stack([spread_keypoints(64), spread_keypoints(60)])
    poses = pose_control_images(keypoints, None, 64)
    for index in range(2):
        np.testing.assert_array_equal(both[index], mesh_control_image(meshes[index], faces, focal[index], None, 64))
        np.testing.assert_array_equal(poses[index], pose_control_image(keypoints[index], None, 64))


def test_joints_behind_a_wall_are_hidden_and_those_in_the_flesh_are_not():
    joints = np.zeros((21, 3))
    joints[:, 0] = np.linspace(-0.05, 0.05, 21)
    joints[:, 1] = np.linspace(0.05, -0.05, 21)
    joints[:, 2] = 0.5
    focal, palm = 500.0, np.linalg.norm(joints[9] - joints[0])
    wall = np.full((128, 128), 0.5 - 0.1 * palm, dtype=np.float32)
    assert not occluded_joints(joints, wall, focal).any()
    wall[:, :64] = 0.5 - 0.6 * palm
    np.testing.assert_array_equal(occluded_joints(joints, wall, focal), joints[:, 0] < 0)
    assert not occluded_joints(joints, np.zeros((128, 128), dtype=np.float32), focal).any()
    beside = joints + [10, 0, 0]
    behind = joints * [1, 1, -1]
    assert not occluded_joints(beside, wall, focal).any() and not occluded_joints(behind, wall, focal).any()


def test_wrong_input_is_one_clear_sentence():
    with pytest.raises(ValueError, match="0 x 0"):
        pose_control_image(spread_keypoints(), None, 0)
    with pytest.raises(ValueError, match="4 columns"):
        pose_control_image(np.zeros((21, 4)), None, 64)
