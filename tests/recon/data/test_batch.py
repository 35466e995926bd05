"""Batches: a batch of n is n singles, labels agree with pixels, and what a set lacks is zero under a False mask."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from recon.data.batch import BatchConfig, HandBatch, collate
from recon.data.record import HandRecord
from recon.files import FileError
from tests.data_sets.records import encoded, records

SIZE = 96


def test_a_batch_of_n_is_n_singles():
    rows = records(5)
    rows[2] = replace(rows[2], joints=None, intrinsics=None)
    batch = collate(rows, BatchConfig(SIZE))
    assert len(batch) == 5 and batch.sample_ids == tuple(row.sample_id for row in rows)
    for index, row in enumerate(rows):
        single = collate([row], BatchConfig(SIZE))
        for field in fields(HandBatch):
            value = getattr(batch, field.name)
            if isinstance(value, Tensor):
                torch.testing.assert_close(value[index], getattr(single, field.name)[0])


def test_hands_come_out_as_they_went_in():
    rows = records(8)
    batch = collate(rows, BatchConfig(SIZE))
    assert torch.equal(batch.camera.mirrored, ~batch.is_right)
    joints = batch.camera.points_to_full(batch.joints)
    pixels = batch.camera.to_full(batch.keypoints_2d[..., :2])
    for index, row in enumerate(rows):
        np.testing.assert_allclose(joints[index], row.joints, atol=1e-6)
        np.testing.assert_allclose(pixels[index], row.keypoints_2d[:, :2], atol=1e-3)
    box = torch.tensor(np.stack([row.box for row in rows]))
    torch.testing.assert_close(batch.box_size, 2 * (box[:, 2:] - box[:, :2]).amax(1))
    torch.testing.assert_close(batch.box_center, (box[:, 2:] + box[:, :2]) / 2)
    assert (batch.keypoints_2d[..., :2].abs() <= 0.2501).all()  # box x 2


def test_the_crop_shows_the_hand_where_the_joints_project():
    """With the mask as the photo, nearly every projected joint falls on the hand."""
    rows = records(8)
    masks = [replace(row, image=row.mask) for row in rows]
    batch = collate(masks, BatchConfig(SIZE))
    at = ((batch.camera.project(batch.joints) + 0.5) * SIZE).long().clamp(0, SIZE - 1)
    hits = torch.stack(
        [crop[0][points[:, 1], points[:, 0]] > 127 for crop, points in zip(batch.image, at, strict=True)]
    )
    assert hits.float().mean() > 0.85
    wrong = torch.stack(
        [crop[0][points[:, 1], SIZE - 1 - points[:, 0]] > 127 for crop, points in zip(batch.image, at, strict=True)]
    )
    assert wrong.float().mean() < hits.float().mean() - 0.1


def test_what_is_missing_is_zero_under_a_false_mask():
    row = records(1)[0]
    poor = replace(
        row, joints=None, vertices=None, betas=None, hand_pose=None, transl=None, intrinsics=None, global_orient=None
    )
    batch = collate([row, poor], BatchConfig(SIZE))
    for name in ("joints", "vertices", "betas", "transl"):
        assert getattr(batch, f"has_{name}").tolist() == [True, False]
        assert getattr(batch, name)[0].any() and not getattr(batch, name)[1].any()
    assert torch.equal(batch.hand_pose[1], torch.eye(3).expand(15, 3, 3)) and not batch.has_hand_pose[1]
    assert torch.equal(batch.global_orient[1], torch.eye(3)[None]) and not batch.has_global_orient[1]
    assert batch.has_intrinsics.tolist() == [True, False]
    assert torch.isfinite(batch.camera.crop_intrinsics).all() and batch.camera.intrinsics[1, 0, 2] == 64


def test_pixels_travel_as_bytes_and_arrive_as_numbers():
    batch = collate(records(2), BatchConfig(SIZE))
    assert batch.image.dtype == torch.uint8
    moved = batch.to("cpu")
    torch.testing.assert_close(moved.image, batch.image.float() / 255)
    assert torch.equal(moved.to("cpu").image, moved.image)  # once is enough
    meta = batch.to("meta")
    assert {value.device.type for f in fields(meta) if isinstance(value := getattr(meta, f.name), Tensor)} == {"meta"}
    assert meta.camera.intrinsics.device.type == meta.box_center.device.type == "meta"


def damaged(row: HandRecord) -> HandRecord:
    return replace(row, image=encoded(np.zeros((64, 64, 3), np.uint8), "JPEG")[:400])


def test_damage_names_the_sample():
    row = records(1)[0]
    with pytest.raises(FileError, match=r"world/train/000000.png/\w+ is"):
        collate([damaged(row)], BatchConfig(SIZE))
    with pytest.raises(FileError, match=r"world/train/000000.png/\w+ has a box without extent"):
        collate([replace(row, box=np.array([5.0, 5, 5, 5]))], BatchConfig(SIZE))
    with pytest.raises(ValueError, match="size is 0"):
        BatchConfig(0)
