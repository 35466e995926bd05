"""Hands of the rendered world with everything known about them: what fixture trees are written from."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from synth.world.world import World


@dataclass(frozen=True)
class Truth:
    """A rendered hand in the terms of DESIGN section 3."""

    image: np.ndarray
    """uint8 [s,s,3]."""
    mask: np.ndarray
    """bool [s,s]."""
    is_right: bool
    intrinsics: np.ndarray
    joints: np.ndarray
    """[21,3], metres, OpenCV camera frame, OpenPose order."""
    vertices: np.ndarray
    """[778,3], metres, camera frame."""
    keypoints_2d: np.ndarray
    """[21,3]."""
    betas: np.ndarray
    global_orient: np.ndarray
    """Rotation vector [3]; a left hand's of the left model."""
    hand_pose: np.ndarray
    """Rotation vectors [45], flat mean; likewise."""
    caption: str


@cache
def truths(count: int, size: int = 128, seed: int = 77) -> tuple[Truth, ...]:
    """`count` rendered hands of both sides."""
    world = World(seed, size, "test")
    samples = [world.render(world.scene(index)) for index in range(count)]
    result = []
    for sample in samples:
        scene, params = sample.scene, sample.scene.row_params
        focal = scene.focal_length
        camera = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]], np.float64)
        result.append(
            Truth(
                image=sample.image,
                mask=sample.mask,
                is_right=scene.is_right,
                intrinsics=camera,
                joints=sample.joints_cam.astype(np.float64),
                vertices=sample.vertices_cam.astype(np.float64),
                keypoints_2d=sample.keypoints_2d,
                betas=params.betas[0].numpy().astype(np.float64),
                global_orient=params.global_orient_rotvec[0].numpy().astype(np.float64),
                hand_pose=params.hand_pose_rotvec[0].numpy().astype(np.float64),
                caption=scene.captions[-1],
            )
        )
    return tuple(result)
