"""The world is deterministic, and its labels agree with its pictures."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from recon.hand.model import HandModel
from synth.world.dataset import FEATURES, world_row
from synth.world.world import World


def test_a_sample_follows_from_seed_split_and_index() -> None:
    first, again = World(5, 96), World(5, 96)
    again.render(again.scene(1))
    a, b = first.render(first.scene(2)), again.render(again.scene(2))
    assert a.image.tobytes() == b.image.tobytes()
    assert a.scene.captions == b.scene.captions
    other = World(5, 96, "test")
    assert other.render(other.scene(2)).image.tobytes() != a.image.tobytes()


def test_labels_agree_with_each_other() -> None:
    world, model = World(8, 128), HandModel.default()
    for index in range(8):
        sample = world.render(world.scene(index))
        scene = sample.scene
        row_params = scene.row_params
        mesh = model(scene.params)
        mesh = mesh if scene.is_right else mesh.mirrored()
        joints = mesh.joints[0].numpy() + scene.cam_t
        np.testing.assert_allclose(sample.joints_cam, joints, atol=1e-5)
        pixels = joints[:, :2] / joints[:, 2:] * scene.focal_length + scene.size / 2
        np.testing.assert_allclose(sample.keypoints_2d[:, :2], pixels, atol=1e-2)
        assert sample.mask.any() and ((sample.depth > 0) == sample.mask).all()
        assert ((sample.part_ids > 0) == sample.mask).all()
        y, x = np.nonzero(sample.mask)
        x0, y0, x1, y1 = sample.box
        assert x.min() >= np.floor(x0) - 1 and x.max() <= x1 + 1 and y.min() >= np.floor(y0) - 1 and y.max() <= y1 + 1
        assert sample.keypoints_2d[:, 2].sum() >= 1
        turn = row_params.global_orient_rotvec[0].numpy()
        right = turn if scene.is_right else turn * np.array([1, -1, -1])
        expected = scene.params.global_orient[0, 0].numpy()
        np.testing.assert_allclose(Rotation.from_rotvec(right).as_matrix(), expected, atol=1e-5)


def test_the_hand_stays_in_the_picture_and_fills_it() -> None:
    world = World(4, 256)
    shares = []
    for index in range(60):
        scene = world.scene(index)
        mesh = HandModel.default()(scene.params) if index == 0 else None
        assert mesh is None or mesh.joints.shape == (1, 21, 3)
    for index in range(12):
        sample = world.render(world.scene(index))
        pixels = sample.keypoints_2d[:, :2]
        assert (pixels > -0.06 * 256).all() and (pixels < 1.06 * 256).all()
        shares.append(float(np.ptp(pixels, axis=0).max()) / 256)
    assert 0.4 < np.mean(shares) < 0.8


def test_a_row_has_the_columns_of_the_data_set() -> None:
    world = World(1, 64)
    row = world_row(world.render(world.scene(0)))
    assert row.keys() == FEATURES.keys()
    assert len(row["captions"]) >= 8


@pytest.mark.parametrize(("key", "value"), [("seed", -1), ("size", 8), ("split", "dev")])
def test_wrong_settings_are_named(key: str, value: object) -> None:
    settings = {"seed": 0, "size": 64, "split": "train"} | {key: value}
    with pytest.raises(ValueError, match=str(value)):
        World(**settings)
