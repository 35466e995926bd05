"""A drawn scene with its labels: what a data set's row is made of (DESIGN sections 3 and 5)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from synth.render.rasterizer import rasterize
from synth.world.scene import Scene
from synth.world.surface import BAR, CLOTH, Surface

_HIDDEN_DEPTH = 0.014
"""A joint counts as hidden when the surface before it is nearer by more than this, metres; its own flesh is not."""


@dataclass(frozen=True)
class WorldSample:
    """One picture and everything known about it. A left hand's labels are those of the left hand in this picture."""

    scene: Scene
    image: UInt8[np.ndarray, "s s 3"]
    keypoints_2d: Float32[np.ndarray, "21 3"]
    """Pixels (x, y), and 1 where the joint can be seen, 0 where it is hidden or outside."""
    joints_cam: Float32[np.ndarray, "21 3"]
    """Metres, camera frame."""
    vertices_cam: Float32[np.ndarray, "778 3"]
    box: Float32[np.ndarray, " 4"]
    """x0, y0, x1, y1 of the hand's mesh in pixels, cut at the picture's edge."""
    mask: Bool[np.ndarray, "s s"]
    """Where the hand itself is seen (no sleeve, forearm or occluder)."""
    depth: Float32[np.ndarray, "s s"]
    """Metres on the mask, 0 elsewhere."""
    part_ids: UInt8[np.ndarray, "s s"]
    """1 + MANO joint on the mask, 0 elsewhere."""


def label(scene: Scene, surface: Surface, image: UInt8[np.ndarray, "s s 3"]) -> WorldSample:
    """Measure a drawn scene."""
    size, focal = scene.size, scene.focal_length
    fragments = rasterize(surface.vertices, surface.faces, focal, size=size)
    hand = surface.vertices[:778]
    mask = (fragments.face_ids >= 0) & (fragments.face_ids < 1538)
    part_ids = np.where(mask, surface.parts[np.maximum(fragments.face_ids, 0)] + 1, 0).astype(np.uint8)
    joints = surface.joints
    pixels = joints[:, :2] / joints[:, 2:] * focal + size / 2
    x, y = np.floor(pixels).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < size) & (y < size)
    column, row = np.clip(x, 0, size - 1), np.clip(y, 0, size - 1)
    front, face = fragments.depth[row, column], fragments.face_ids[row, column]
    own = face < 1538
    foreign = (face >= 0) & np.isin(surface.materials[np.maximum(face, 0)], (BAR, CLOTH)) & ~own
    covered = (face >= 0) & ((joints[:, 2] - front > _HIDDEN_DEPTH) | (foreign & (front < joints[:, 2])))
    keypoints = np.column_stack([pixels, (inside & ~covered)]).astype(np.float32)
    outline = hand[:, :2] / hand[:, 2:] * focal + size / 2
    box = np.clip(np.concatenate([outline.min(0), outline.max(0)]), 0, size).astype(np.float32)
    return WorldSample(
        scene=scene,
        image=image,
        keypoints_2d=keypoints,
        joints_cam=joints,
        vertices_cam=np.ascontiguousarray(hand),
        box=box,
        mask=mask,
        depth=np.where(mask, fragments.depth, np.float32(0)),
        part_ids=part_ids,
    )
