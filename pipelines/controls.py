"""From sampled hands to what the painter is shown: control pictures and their labels (MMHMR section 3.5).

Everything here is exact: it follows from the mesh and the camera, whatever is painted later.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8

from pipelines.output import TextToHandMeshOutput
from recon.hand.camera import box_from_points, project
from recon.hand.model import HandModel
from synth.render.control_images import mesh_control_images, occluded_joints, pose_control_images
from synth.render.rasterizer import rasterize


@dataclass(frozen=True)
class DrawnHands:
    """Control pictures and labels of n hands in square pictures."""

    mesh: UInt8[np.ndarray, "n s s 3"]
    """Shaded normals on black."""
    pose: UInt8[np.ndarray, "n s s 3"]
    """The coloured skeleton, hidden joints marked."""
    keypoints_2d: Float[np.ndarray, "n 21 3"]
    """Projected joints: x, y in pixels, and 1 where the joint is seen, 0 where it is hidden or outside."""
    joints: Float[np.ndarray, "n 21 3"]
    """Camera frame, metres."""
    boxes: Float[np.ndarray, "n 4"]
    """x0, y0, x1, y1 around the mesh, pixels."""

    def shown(self, index: int, control: str) -> UInt8[np.ndarray, "s s 3"]:
        """The one picture that stands for a control: for mesh+pose, the skeleton over the mesh."""
        if control == "mesh+pose":
            over = self.pose[index].any(axis=-1, keepdims=True)
            return np.where(over, self.pose[index], self.mesh[index])
        return self.mesh[index] if control == "mesh" else self.pose[index]


def draw_hands(hands: TextToHandMeshOutput, hand_model: HandModel, size: int) -> DrawnHands:
    """Draw sampled hands.

    Args:
        hands: with `focal_length` in pixels of a picture of `size`; the principal point is its centre.
        hand_model: gives the faces.
        size: side of the pictures, pixels.
    """
    placed = hands.meshes.translated(hands.cam_t)
    focal = hands.focal_length.cpu().double().numpy()
    centre = torch.full((len(hands.prompts), 2), size / 2, dtype=placed.joints.dtype, device=placed.joints.device)
    pixels = project(placed.joints, hands.focal_length, centre).cpu().double().numpy()
    boxes = box_from_points(project(placed.vertices, hands.focal_length, centre)).cpu().double().numpy()
    vertices = placed.vertices.cpu().float().numpy()
    joints = placed.joints.cpu().double().numpy()
    faces = hand_model.faces.cpu().numpy().astype(np.int32)
    occluded = np.stack([_occluded(*hand, faces, size) for hand in zip(vertices, joints, focal, strict=True)])
    inside = ((pixels >= 0) & (pixels < size)).all(axis=-1)
    return DrawnHands(
        mesh=mesh_control_images(vertices, faces, focal, size=size),
        pose=pose_control_images(pixels, occluded, size),
        keypoints_2d=np.concatenate([pixels, (inside & ~occluded)[..., None]], axis=-1),
        joints=joints,
        boxes=boxes,
    )


def _occluded(
    vertices: np.ndarray, joints: np.ndarray, focal_length: float, faces: np.ndarray, size: int
) -> np.ndarray:
    depth = rasterize(vertices, faces, focal_length, size=size).depth
    return occluded_joints(joints, depth, focal_length)
