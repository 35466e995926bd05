"""A batch of hands as estimators see it: crops, labels in the crop's camera, a mask for each that may be absent.

What a data set does not label is zero (a rotation: the identity) with a False mask, so that no loss sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import roma
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from recon.data.augmentation import AugmentationConfig, change_pixels, draw, move_camera
from recon.data.crops import BOX_SCALE, CropCamera, cut_all
from recon.data.record import SHAPES, HandRecord
from recon.files import FileError, Photo, open_photo

FOCAL_PER_SIDE = 5000 / 256
"""Assumed focal length by the photo's longer side, where a set has no camera (HaMeR's)."""


@dataclass(frozen=True)
class HandBatch:
    """Crops of hands with their labels; everything in 3D is in the crop's camera frame, metres."""

    image: UInt8[Tensor, "b 3 s s"] | Float[Tensor, "b 3 s s"]
    """RGB: bytes as the loader makes and ships them, numbers in [0, 1] after `to`."""
    keypoints_2d: Float[Tensor, "b 21 3"]
    """x and y in crop coordinates, [-0.5, 0.5] inside the crop, and confidence; zeros where not labelled."""
    joints: Float[Tensor, "b 21 3"]
    vertices: Float[Tensor, "b 778 3"]
    betas: Float[Tensor, "b 10"]
    global_orient: Float[Tensor, "b 1 3 3"]
    hand_pose: Float[Tensor, "b 15 3 3"]
    transl: Float[Tensor, "b 3"]
    """Where the wrist joint lies."""
    is_right: Bool[Tensor, "b"]
    """Side of the hand in the photo, swapped by a flip; left hands are mirrored in the crop (`camera.mirrored`)."""
    has_side: Bool[Tensor, "b"]
    """Without it, `is_right` is True."""
    has_joints: Bool[Tensor, "b"]
    has_vertices: Bool[Tensor, "b"]
    has_betas: Bool[Tensor, "b"]
    has_global_orient: Bool[Tensor, "b"]
    has_hand_pose: Bool[Tensor, "b"]
    has_transl: Bool[Tensor, "b"]
    has_intrinsics: Bool[Tensor, "b"]
    """Without it, the camera is an assumed one."""
    camera: CropCamera
    sample_ids: tuple[str, ...]

    def __len__(self) -> int:
        """Number of hands."""
        return len(self.sample_ids)

    @property
    def box_center(self) -> Float[Tensor, "b 2"]:
        """Centre of the crop, the photo's pixels."""
        return self.camera.crop.center

    @property
    def box_size(self) -> Float[Tensor, "b"]:
        """Side of the crop, the photo's pixels."""
        return self.camera.crop.size

    def to(self, device: torch.device | str) -> HandBatch:
        """On a device, the image in [0, 1] (it travels as bytes)."""
        moved = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                value = value.to(device, non_blocking=True)
            elif isinstance(value, CropCamera):
                value = value.to(device)
            moved[field.name] = value
        if not moved["image"].is_floating_point():
            moved["image"] = moved["image"].float().div_(255)
        return HandBatch(**moved)


@dataclass(frozen=True)
class BatchConfig:
    """How records become crops.

    Attributes:
        size: side of the crops, pixels.
        box_scale: side of a crop by the longer side of the hand's box.
        mirror_left: mirror left hands, so that crops show right hands only.
        augmentation: how crops vary; None for evaluation.
    """

    size: int = 256
    box_scale: float = BOX_SCALE
    mirror_left: bool = True
    augmentation: AugmentationConfig | None = None

    def __post_init__(self) -> None:
        """Refuse sizes that mean nothing."""
        if self.size < 1 or self.box_scale <= 0:
            raise ValueError(f"size is {self.size} and box_scale {self.box_scale}; both must be above 0.")


def collate(records: Sequence[HandRecord], config: BatchConfig, generator: torch.Generator | None = None) -> HandBatch:
    """Decode, cut, augment and stack records; one photo is in memory at a time.

    Args:
        records: at least one.
        config: size, margins and augmentation.
        generator: decides the augmentation; needed where there is one.

    Raises:
        FileError: a damaged picture, or a box without extent; the message names the sample.
    """
    boxes, _ = _stack(records, "box")
    for record, box in zip(records, boxes.tolist(), strict=True):
        if box[2] <= box[0] and box[3] <= box[1]:
            raise FileError(f"{record.sample_id} has a box without extent, {box}.")
    intrinsics, has_intrinsics = _stack(records, "intrinsics")
    is_right = torch.tensor([record.is_right is not False for record in records])
    plain = torch.zeros(len(records), dtype=torch.bool)
    camera = CropCamera.around_boxes(boxes, intrinsics, plain, config.box_scale)
    drawn = None
    if config.augmentation is None:
        camera = camera.flipped(~is_right if config.mirror_left else plain)
    else:
        if generator is None:
            raise ValueError("augmentation needs a generator.")
        drawn = draw(config.augmentation, len(records), generator)
        camera = move_camera(camera, drawn, is_right, config.mirror_left)
        is_right = is_right ^ drawn.flip

    def open_at(index: int, reduce: int) -> Photo:
        return open_photo(records[index].image, reduce=reduce, name=records[index].sample_id)

    image, sizes = cut_all(open_at, camera, config.size)
    assumed = torch.stack([assumed_intrinsics(*size) for size in sizes])
    camera = replace(camera, intrinsics=torch.where(has_intrinsics[:, None, None], intrinsics, assumed))
    batch = _with_labels(records, image, camera, is_right, has_intrinsics)
    return batch if drawn is None else replace(batch, image=change_pixels(image, batch.keypoints_2d, drawn))


def assumed_intrinsics(width: int, height: int) -> Float[Tensor, "3 3"]:
    """The camera matrix of a photo whose camera nobody wrote down: a long lens through the middle."""
    focal = FOCAL_PER_SIDE * max(width, height)
    return torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


def _stack(records: Sequence[HandRecord], name: str) -> tuple[Tensor, Bool[Tensor, "b"]]:
    """A field of all records, zeros where it is None, and where it is not."""
    values = [getattr(record, name) for record in records]
    stacked = np.zeros((len(records), *SHAPES[name]), np.float32)
    for target, value in zip(stacked, values, strict=True):
        if value is not None:
            target[...] = value
    return torch.from_numpy(stacked), torch.tensor([value is not None for value in values])


def _with_labels(
    records: Sequence[HandRecord],
    image: UInt8[Tensor, "b 3 s s"],
    camera: CropCamera,
    is_right: Bool[Tensor, "b"],
    has_intrinsics: Bool[Tensor, "b"],
) -> HandBatch:
    """The labels in the crop's camera."""
    keypoints, _ = _stack(records, "keypoints_2d")
    seen = keypoints[..., 2:]
    joints, has_joints = _stack(records, "joints")
    vertices, has_vertices = _stack(records, "vertices")
    transl, has_transl = _stack(records, "transl")
    betas, has_betas = _stack(records, "betas")
    orient, has_orient = _stack(records, "global_orient")
    pose, has_pose = _stack(records, "hand_pose")
    rotations = roma.rotvec_to_rotmat(torch.cat((orient, pose), -1).unflatten(-1, (16, 3)))
    turned = camera.orient_to_crop(rotations[:, :1])
    return HandBatch(
        image=image,
        keypoints_2d=torch.cat((camera.to_crop(keypoints[..., :2]) * (seen > 0), seen), -1),
        joints=camera.points_to_crop(joints),
        vertices=camera.points_to_crop(vertices),
        betas=betas,
        global_orient=torch.where(has_orient[:, None, None, None], turned, torch.eye(3)),
        hand_pose=camera.pose_to_crop(rotations[:, 1:]),
        transl=camera.points_to_crop(transl[:, None])[:, 0],
        is_right=is_right,
        has_side=torch.tensor([record.is_right is not None for record in records]),
        has_joints=has_joints,
        has_vertices=has_vertices,
        has_betas=has_betas,
        has_global_orient=has_orient,
        has_hand_pose=has_pose,
        has_transl=has_transl,
        has_intrinsics=has_intrinsics,
        camera=camera,
        sample_ids=tuple(record.sample_id for record in records),
    )
