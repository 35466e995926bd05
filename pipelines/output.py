"""What the pipelines give back: typed records, batch first (MMHMR sections 3.5 and D)."""

from dataclasses import dataclass

import numpy as np
from diffusers.utils import BaseOutput
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from recon.hand.model import HandMesh, HandParams

Images = list[Image.Image] | UInt8[np.ndarray, "n h w 3"] | Float[np.ndarray, "n h w 3"] | Float[Tensor, "n 3 h w"]


@dataclass(frozen=True)
class TextToHandMeshOutput:
    """Hands sampled from text; a left hand's parameters are those of the left model."""

    params: HandParams
    """Shape, orientation in the camera frame, pose."""
    meshes: HandMesh
    """Of the hand's own side, turned into the camera frame, the wrist at the origin; metres."""
    is_right: Bool[Tensor, " n"]
    cam_t: Float[Tensor, "n 3"]
    """The wrist in the camera frame, metres."""
    focal_length: Float[Tensor, " n"]
    """Pixels of a picture of the size that was asked for."""
    confidence: Float[Tensor, " n"]
    """Mean confidence of the pose tokens, 0 to 1."""
    prompts: list[str]
    """The text of each hand."""


@dataclass
class HandImageOutput(BaseOutput):
    """Painted pictures."""

    images: Images
    """Pillow images; "np": float [n, h, w, 3] in 0..1; "pt": float [n, 3, h, w] in 0..1."""


@dataclass
class TextToHandImageOutput(BaseOutput):
    """Painted pictures with everything that is known about the hands in them."""

    images: Images
    controls: UInt8[np.ndarray, "n h w 3"]
    """The control pictures, as they are kept beside the images."""
    hands: TextToHandMeshOutput
    keypoints_2d: Float[np.ndarray, "n 21 3"]
    """Projected joints: x, y in pixels, and 1 where the joint is seen, 0 where the hand hides it."""
    joints: Float[np.ndarray, "n 21 3"]
    """Camera frame, metres."""
    boxes: Float[np.ndarray, "n 4"]
    """x0, y0, x1, y1 around the mesh, pixels."""
