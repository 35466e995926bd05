"""Augmentation of hand crops: scale, rotation, flips, colour jitter, occlusion (papers 000, B.1 and 002, A.1, A.3).

The geometry is drawn before the picture is cut, and only changes the crop's camera (`recon.data.crops`): the one warp
of the photo takes it all in, and keypoints, joints, vertices and orientation follow the same camera. In-plane rotation
is about the crop's centre; the 3D points turn about the camera's z axis and the principal point moves, which is exact.
Colour and occlusion change pixels of finished crops. A drawn batch is decided by its generator alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from recon.data.crops import CropCamera

LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class AugmentationConfig:
    """How strongly crops vary. The papers name the kinds; the numbers are ours but for the joint diffusion's.

    The joint diffusion model (paper 002, A.1) has `rotation=60`, `zoom=(0.9, 1.1)`, rates of 1 and nothing else.

    Attributes:
        zoom: range of the crop's side; drawn for every crop.
        shift: largest move of the crop's centre, in sides.
        rotation: largest turn in the picture's plane, degrees.
        rotation_rate: share of crops that are turned.
        flip_rate: share of photos that are mirrored, so that a right hand becomes a left one. Where left hands are
            mirrored to right ones on their way in, that undoes it: then it has no effect on pixels.
        brightness: largest relative change.
        contrast: likewise, about mid grey.
        saturation: likewise; -1 is grey.
        tint: largest relative change of each colour channel alone.
        occlusion_rate: share of crops with something before the hand.
        occlusion_size: range of that thing's sides, in sides of the crop.
    """

    zoom: tuple[float, float] = (0.75, 1.3)
    shift: float = 0.05
    rotation: float = 45.0
    rotation_rate: float = 0.6
    flip_rate: float = 0.5
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.3
    tint: float = 0.1
    occlusion_rate: float = 0.3
    occlusion_size: tuple[float, float] = (0.08, 0.3)

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        for name in ("rotation_rate", "flip_rate", "occlusion_rate", "brightness", "contrast", "saturation", "tint"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed is 0 to 1.")
        for name in ("zoom", "occlusion_size"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} is {low} to {high}; allowed are rising numbers above 0.")


@dataclass(frozen=True)
class Draw:
    """What happens to each crop of a batch."""

    zoom: Float[Tensor, "b"]
    shift: Float[Tensor, "b 2"]
    angle: Float[Tensor, "b"]
    """Radians."""
    flip: Bool[Tensor, "b"]
    color: Float[Tensor, "b 3 4"]
    """Affine map of RGB in 0..255."""
    occluded: Bool[Tensor, "b"]
    occluder_joint: Float[Tensor, "b"]
    """Which of the labelled joints it covers, as a share of their number in [0, 1)."""
    occluder_sides: Float[Tensor, "b 2"]
    """Width and height in sides of the crop."""
    occluder_kind: Float[Tensor, "b 2"]
    """Below 0.5: an ellipse, else a rectangle; below 0.5: noise, else a patch of the batch's next crop."""
    noise_seed: int


def draw(config: AugmentationConfig, count: int, generator: torch.Generator) -> Draw:
    """Decide what happens to `count` crops; the generator decides everything."""

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    low, high = config.zoom
    zoom = torch.exp(uniform(count, low=math.log(low), high=math.log(high)))
    turned = uniform(count) < config.rotation_rate
    angle = uniform(count, low=-1.0, high=1.0) * math.radians(config.rotation) * turned
    shift = uniform(count, 2, low=-config.shift, high=config.shift)
    brightness = 1 + uniform(count, low=-config.brightness, high=config.brightness)
    contrast = 1 + uniform(count, low=-config.contrast, high=config.contrast)
    saturation = 1 + uniform(count, low=-config.saturation, high=config.saturation)
    tint = 1 + uniform(count, 3, low=-config.tint, high=config.tint)
    return Draw(
        zoom=zoom,
        shift=shift,
        angle=angle,
        flip=uniform(count) < config.flip_rate,
        color=color_map(brightness, contrast, saturation, tint),
        occluded=uniform(count) < config.occlusion_rate,
        occluder_joint=uniform(count),
        occluder_sides=uniform(count, 2, low=config.occlusion_size[0], high=config.occlusion_size[1]),
        occluder_kind=uniform(count, 2),
        noise_seed=int(torch.randint(1 << 31, (), generator=generator)),
    )


def color_map(
    brightness: Float[Tensor, "b"],
    contrast: Float[Tensor, "b"],
    saturation: Float[Tensor, "b"],
    tint: Float[Tensor, "b 3"],
) -> Float[Tensor, "b 3 4"]:
    """Tint, then saturation, contrast and brightness as one affine map of RGB in 0..255; ones are the identity."""
    grey = torch.tensor(LUMA).expand(3, 3)
    mix = grey + saturation[:, None, None] * (torch.eye(3) - grey)
    linear = (brightness * contrast)[:, None, None] * (mix * tint[:, None])
    offset = (brightness * 127.5 * (1 - contrast))[:, None, None].expand(-1, 3, 1)
    return torch.cat((linear, offset), -1)


def move_camera(camera: CropCamera, drawn: Draw, is_right: Bool[Tensor, "b"], mirror_left: bool) -> CropCamera:
    """The crop's camera after zoom, shift, rotation and flip.

    Args:
        camera: of the plain crops, unmirrored.
        drawn: what happens to them.
        is_right: side of the hands that the photos show.
        mirror_left: whether crops show right hands only.
    """
    flip = ~is_right if mirror_left else drawn.flip  # a flipped right hand is a left one and is mirrored back
    return camera.flipped(flip).moved(drawn.zoom, drawn.shift, drawn.angle)


def change_pixels(
    image: UInt8[Tensor, "b 3 s s"], keypoints_2d: Float[Tensor, "b 21 3"], drawn: Draw
) -> UInt8[Tensor, "b 3 s s"]:
    """Colours and occluders of a batch of finished crops.

    Args:
        image: RGB; overwritten where its channels lie last in memory, as `cut_all` leaves them.
        keypoints_2d: crop coordinates and confidence; an occluder lies over one that is labelled and in the crop, and
            where there is none, none is drawn.
        drawn: what happens.
    """
    crops = image.permute(0, 2, 3, 1).contiguous().numpy()
    scratch = np.empty_like(crops[0])
    for crop, color in zip(crops, drawn.color.numpy(), strict=True):
        cv2.transform(crop, color, dst=scratch)
        crop[:] = scratch
    rng = np.random.default_rng(drawn.noise_seed)
    others = [*crops[1:], crops[0].copy()]  # each is still whole when the crop before it takes a patch
    for index in drawn.occluded.nonzero()[:, 0].tolist():
        _occlude(crops[index], others[index], keypoints_2d[index].numpy(), drawn, index, rng)
    return torch.from_numpy(crops).permute(0, 3, 1, 2)


def _occlude(
    crop: UInt8[np.ndarray, "s s 3"],
    other: UInt8[np.ndarray, "s s 3"],
    keypoints: Float[np.ndarray, "21 3"],
    drawn: Draw,
    index: int,
    rng: np.random.Generator,
) -> None:
    """Lay a rectangle or an ellipse of noise or of another picture over a joint, in place."""
    inside = keypoints[(keypoints[:, 2] > 0) & (np.abs(keypoints[:, :2]) < 0.5).all(1), :2]
    if not len(inside):
        return
    size = len(crop)
    center = (inside[int(drawn.occluder_joint[index] * len(inside))] + 0.5) * size
    sides = drawn.occluder_sides[index].numpy() * size
    x0, y0 = np.clip(np.floor(center - sides / 2).astype(int), 0, size)
    x1, y1 = np.clip(np.ceil(center + sides / 2).astype(int), 0, size)
    ellipse, noise = (drawn.occluder_kind[index] < 0.5).tolist()
    region = crop[y0:y1, x0:x1]
    cover = rng.integers(0, 256, region.shape, dtype=np.uint8) if noise else other[y0:y1, x0:x1]
    if ellipse:
        y, x = np.ogrid[y0:y1, x0:x1]
        seen = ((x + 0.5 - center[0]) / sides[0]) ** 2 + ((y + 0.5 - center[1]) / sides[1]) ** 2 <= 0.25
        region[seen] = cover[seen]
    else:
        region[:] = cover
