"""The pinhole camera of the house: OpenCV axes (x right, y down, z forward), R = I (MMHMR B.2, DESIGN section 3).

Pixels are continuous: the first pixel's centre is (0.5, 0.5) and an image of size s spans [0, s].
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


def project(
    points: Float[Tensor, "*b n 3"], focal_length: Float[Tensor, "*b"], principal_point: Float[Tensor, "*b 2"]
) -> Float[Tensor, "*b n 2"]:
    """Pixels of points in front of the camera.

    Args:
        points: metres, camera frame; z must be positive.
        focal_length: pixels.
        principal_point: pixels.
    """
    return focal_length[..., None, None] * points[..., :2] / points[..., 2:] + principal_point[..., None, :]


def unproject(
    pixels: Float[Tensor, "*b n 2"],
    depth: Float[Tensor, "*b n"],
    focal_length: Float[Tensor, "*b"],
    principal_point: Float[Tensor, "*b 2"],
) -> Float[Tensor, "*b n 3"]:
    """Camera-frame points at the given depth (metres along z) behind pixels; the inverse of `project`."""
    rays = (pixels - principal_point[..., None, :]) / focal_length[..., None, None]
    return torch.cat([rays * depth[..., None], depth[..., None]], dim=-1)


def box_from_points(keypoints: Float[Tensor, "*b n 2"], padding: float = 0.0) -> Float[Tensor, "*b 4"]:
    """The upright box (x0, y0, x1, y1) around points, each side moved out by `padding` times the longer side."""
    low, high = keypoints.amin(dim=-2), keypoints.amax(dim=-2)
    margin = padding * (high - low).amax(dim=-1, keepdim=True)
    return torch.cat([low - margin, high + margin], dim=-1)


@dataclass(frozen=True)
class Crop:
    """Square cut-outs of full images, by centre and side length in full-image pixels."""

    center: Float[Tensor, "*b 2"]
    size: Float[Tensor, "*b"]

    @classmethod
    def around_box(cls, box: Float[Tensor, "*b 4"], scale: float = 1.2) -> "Crop":
        """The square around a box (x0, y0, x1, y1), `scale` times its longer side."""
        size = (box[..., 2:] - box[..., :2]).amax(dim=-1) * scale
        return cls(center=(box[..., :2] + box[..., 2:]) / 2, size=size)

    def to_crop(self, pixels: Float[Tensor, "*b n 2"]) -> Float[Tensor, "*b n 2"]:
        """Full-image pixels -> crop coordinates, [-0.5, 0.5] inside the crop."""
        return (pixels - self.center[..., None, :]) / self.size[..., None, None]

    def to_full(self, points: Float[Tensor, "*b n 2"]) -> Float[Tensor, "*b n 2"]:
        """Crop coordinates -> full-image pixels; the inverse of `to_crop`."""
        return points * self.size[..., None, None] + self.center[..., None, :]


def weak_to_full_translation(
    scale: Float[Tensor, "*b"],
    offset: Float[Tensor, "*b 2"],
    crop: Crop,
    focal_length: Float[Tensor, "*b"],
    principal_point: Float[Tensor, "*b 2"],
) -> Float[Tensor, "*b 3"]:
    """Translation in the full image's camera from a weak-perspective camera in a crop (MMHMR B.2).

    Args:
        scale: crop side lengths per metre at the hand's depth; positive.
        offset: where the wrist lies in crop coordinates ([-0.5, 0.5] inside the crop).
        crop: the cut-out.
        focal_length: full-image pixels.
        principal_point: full-image pixels.

    Returns:
        The wrist's place in the camera frame, metres.
    """
    depth = focal_length / (scale * crop.size)
    pixel = crop.to_full(offset[..., None, :])
    return unproject(pixel, depth[..., None], focal_length, principal_point)[..., 0, :]
