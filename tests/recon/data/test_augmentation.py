"""Augmentation: labels and pixels move together, the generator decides everything, what is absent stays absent."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from recon.data.augmentation import AugmentationConfig, Draw, change_pixels, color_map, draw
from recon.data.batch import BatchConfig, collate
from recon.hand.model import HandModel, HandParams
from tests.data_sets.records import records

STRONG = AugmentationConfig(rotation=180.0, rotation_rate=1.0, zoom=(0.5, 2.0), shift=0.3, occlusion_rate=1.0)
PLAIN = AugmentationConfig((1.0, 1.0), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
SIZE = 96


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("mirror_left", [True, False])
def test_projecting_after_augmenting_is_augmenting_the_projection(mirror_left: bool):
    batch = collate(records(16), BatchConfig(SIZE, mirror_left=mirror_left, augmentation=STRONG), generator())
    projected = batch.camera.project(batch.joints)
    pixels = (projected - batch.keypoints_2d[..., :2]).abs() * batch.box_size[:, None, None]
    assert pixels.max() < 1e-3
    assert batch.camera.angle.abs().max() > 1  # radians: it really turned


def test_the_augmented_parameters_give_the_augmented_mesh():
    batch = collate(records(16), BatchConfig(SIZE, augmentation=STRONG), generator())
    mesh = HandModel.default()(HandParams(batch.betas, batch.global_orient, batch.hand_pose)).translated(batch.transl)
    torch.testing.assert_close(mesh.joints, batch.joints, atol=1e-4, rtol=0)
    torch.testing.assert_close(mesh.vertices, batch.vertices, atol=1e-4, rtol=0)


@pytest.mark.parametrize("mirror_left", [True, False])
def test_flips_swap_the_side(mirror_left: bool):
    rows = records(8)
    flips = collate(rows, BatchConfig(SIZE, 2.0, mirror_left, replace(PLAIN, flip_rate=1.0)), generator())
    still = collate(rows, BatchConfig(SIZE, 2.0, mirror_left, PLAIN), generator())
    truth = torch.tensor([bool(row.is_right) for row in rows])
    assert truth.any() and not truth.all()
    assert torch.equal(still.is_right, truth) and torch.equal(flips.is_right, ~truth)
    if mirror_left:  # right hands either way
        assert torch.equal(flips.image, still.image) and torch.equal(flips.joints, still.joints)
    else:
        difference = flips.image.flip(-1).int() - still.image.int()
        assert difference.abs().max() <= 1
        torch.testing.assert_close(flips.joints * torch.tensor([-1.0, 1, 1]), still.joints)
        torch.testing.assert_close(flips.keypoints_2d * torch.tensor([-1.0, 1, 1]), still.keypoints_2d)


def test_the_generator_decides_everything():
    config = BatchConfig(SIZE, augmentation=STRONG)
    first, again, other = (collate(records(8), config, generator(seed)) for seed in (5, 5, 6))
    for field in fields(first):
        a, b = getattr(first, field.name), getattr(again, field.name)
        assert torch.equal(a, b) if isinstance(a, Tensor) else field.name == "camera" or a == b
    assert torch.equal(first.camera.crop_intrinsics, again.camera.crop_intrinsics)
    assert not torch.equal(first.image, other.image) and not torch.equal(first.joints, other.joints)
    state = torch.get_rng_state()
    collate(records(2), config, generator())
    assert torch.equal(state, torch.get_rng_state())
    with pytest.raises(ValueError, match="augmentation needs a generator"):
        collate(records(2), config)


def test_absent_labels_stay_absent():
    absent = ("joints", "vertices", "betas", "global_orient", "hand_pose", "transl", "intrinsics")
    rows = records(8, **dict.fromkeys(absent))
    rows += [replace(rows[0], keypoints_2d=np.zeros((21, 3)), is_right=None)]
    batch = collate(rows, BatchConfig(SIZE, augmentation=STRONG), generator())
    for name in absent:
        assert not getattr(batch, f"has_{name}").any()
    for name in ("joints", "vertices", "betas", "transl"):
        assert not getattr(batch, name).any()
    for name in ("global_orient", "hand_pose"):
        value = getattr(batch, name)
        assert torch.equal(value, torch.eye(3).expand_as(value))
    assert not batch.keypoints_2d[-1].any() and batch.has_side.tolist() == [True] * 8 + [False]


def test_plain_augmentation_is_none():
    rows = records(4)
    plain = collate(rows, BatchConfig(SIZE, augmentation=PLAIN), generator())
    none = collate(rows, BatchConfig(SIZE))
    assert torch.equal(plain.image, none.image)
    torch.testing.assert_close(plain.joints, none.joints)


def test_drawn_numbers_keep_within_their_bounds_and_rates():
    config = AugmentationConfig()
    drawn = draw(config, 4000, generator())
    assert config.zoom[0] <= drawn.zoom.min() and drawn.zoom.max() <= config.zoom[1]
    assert drawn.zoom.log().mean().abs() < 0.02  # as often larger as smaller
    assert drawn.shift.abs().max() <= config.shift
    assert np.rad2deg(drawn.angle.abs().max()) <= config.rotation
    for share, rate in ((drawn.angle != 0, config.rotation_rate), (drawn.flip, 0.5), (drawn.occluded, 0.3)):
        assert abs(share.float().mean() - rate) < 0.03


def test_colours_change_as_named():
    ones = torch.ones(1)
    pixel = torch.tensor([200.0, 100, 50, 1])
    identity = color_map(ones, ones, ones, torch.ones(1, 3))[0]
    torch.testing.assert_close(identity @ pixel, pixel[:3])
    grey = color_map(ones, ones, 0 * ones, torch.ones(1, 3))[0] @ pixel
    torch.testing.assert_close(grey, torch.full((3,), 0.299 * 200 + 0.587 * 100 + 0.114 * 50))
    torch.testing.assert_close(color_map(1.5 * ones, ones, ones, torch.ones(1, 3))[0] @ pixel, 1.5 * pixel[:3])
    flat = color_map(ones, 0 * ones, ones, torch.ones(1, 3))[0] @ pixel
    torch.testing.assert_close(flat, torch.full((3,), 127.5))
    torch.testing.assert_close(
        color_map(ones, ones, ones, torch.tensor([[1.1, 1, 0.9]]))[0] @ pixel, torch.tensor([220.0, 100, 45])
    )


def occluding(count: int, kind: tuple[float, float], seed: int = 0) -> Draw:
    drawn = draw(replace(PLAIN, occlusion_rate=1.0, occlusion_size=(0.25, 0.25)), count, generator(seed))
    return replace(drawn, occluder_kind=torch.tensor([kind] * count))


@pytest.mark.parametrize(("kind", "area"), [((0.9, 0.9), 1.0), ((0.9, 0.1), 1.0), ((0.1, 0.9), np.pi / 4)])
def test_something_lies_over_a_joint(kind: tuple[float, float], area: float):
    image = torch.stack([torch.full((3, 80, 80), value, dtype=torch.uint8) for value in (10, 90)])
    points = torch.zeros(2, 21, 3)
    points[:, 5] = torch.tensor([0.1, -0.2, 1.0])
    points[:, 6] = torch.tensor([3.0, 0.0, 1.0])  # outside the crop
    changed = change_pixels(image, points, occluding(2, kind))
    covered = (changed != image).any(1)
    assert covered[:, round(0.3 * 80), round(0.6 * 80)].all()
    assert (covered.flatten(1).sum(1) / (0.25 * 80) ** 2 - area).abs().max() < 0.15
    if kind[1] > 0.5:
        assert changed[0][:, covered[0]].unique().tolist() == [90] and changed[1][:, covered[1]].unique().tolist() == [
            10
        ]
    assert torch.equal(image[0].unique(), torch.tensor([10], dtype=torch.uint8))  # the input is left alone


def test_without_a_labelled_joint_nothing_is_covered():
    image = torch.randint(0, 256, (3, 3, 40, 40), dtype=torch.uint8, generator=generator())
    assert torch.equal(change_pixels(image, torch.zeros(3, 21, 3), occluding(3, (0.9, 0.1))), image)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"flip_rate": 1.5}, "flip_rate is 1.5; allowed is 0 to 1"), ({"zoom": (2.0, 1.0)}, "zoom is 2.0 to 1.0")],
)
def test_numbers_that_mean_nothing_are_refused(changes: dict, message: str):
    with pytest.raises(ValueError, match=message):
        AugmentationConfig(**changes)
