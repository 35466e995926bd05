"""Where a hand stands before the camera, in four numbers that any hand and any picture size can take (ours).

A model that sampled `cam_t` itself could put a hand outside its picture; four numbers of the picture cannot:
log of the focal length over the picture's side, log of the hand's share of the picture, and its centre's offset.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

NUMBERS = 4
STEPS = 8
LEAST = (math.log(1.3), math.log(0.42), -0.08, -0.08)
MOST = (math.log(2.4), math.log(0.6), 0.08, 0.08)
"""What `sensible` keeps to: the range of the rendered world, but for its smallest hands."""


def placement_of(
    joints: Float[Tensor, "b 21 3"], cam_t: Float[Tensor, "b 3"], focal_length: Float[Tensor, " b"]
) -> Float[Tensor, "b 4"]:
    """Placement of hands in pictures with the principal point in the middle.

    Args:
        joints: wrist-relative joints in the camera's axes, metres.
        cam_t: the wrist in the camera frame, metres.
        focal_length: in sides of the picture.
    """
    low, high = _extent(joints, cam_t, focal_length)
    share = (high - low).amax(-1)
    return torch.cat((focal_length.log()[:, None], share.log()[:, None], (low + high) / 2), -1)


def place(
    joints: Float[Tensor, "b 21 3"], placement: Float[Tensor, "b 4"]
) -> tuple[Float[Tensor, "b 3"], Float[Tensor, " b"]]:
    """Wrist position `cam_t` (metres) and focal length (sides of the picture) that give hands this placement."""
    focal_length, share, centre = placement[:, 0].exp(), placement[:, 1].exp(), placement[:, 2:]
    cam_t = joints.new_tensor([0.0, 0.0, 1.0]).repeat(len(joints), 1)
    near = -joints[..., 2].amin(-1) + 0.05
    # A fixed point: the picture of a hand scales with 1/z up to perspective, which is weak at these distances.
    for _ in range(STEPS):
        low, high = _extent(joints, cam_t, focal_length)
        depth = torch.maximum(cam_t[:, 2] * (high - low).amax(-1) / share, near)
        shift = (centre - (low + high) / 2) * depth[:, None] / focal_length[:, None]
        cam_t = torch.cat((cam_t[:, :2] * (depth / cam_t[:, 2])[:, None] + shift, depth[:, None]), -1)
    return cam_t, focal_length


def sensible(placement: Float[Tensor, "b 4"]) -> Float[Tensor, "b 4"]:
    """Keep sampled numbers within `LEAST` and `MOST`: the hand is then whole in its picture, and large enough."""
    return placement.clamp(placement.new_tensor(LEAST), placement.new_tensor(MOST))


def _extent(
    joints: Float[Tensor, "b 21 3"], cam_t: Float[Tensor, "b 3"], focal_length: Float[Tensor, " b"]
) -> tuple[Float[Tensor, "b 2"], Float[Tensor, "b 2"]]:
    """Corners of the joints' box in the picture, in its sides, from its middle."""
    points = joints + cam_t[:, None]
    pixels = points[..., :2] / points[..., 2:] * focal_length[:, None, None]
    return pixels.amin(1), pixels.amax(1)
