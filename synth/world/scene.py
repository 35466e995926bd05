"""A scene: everything that one picture shows, decided before a single pixel is drawn (DESIGN section 5)."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from recon.hand.model import HandParams
from synth.captions import describe_hand, weave_captions
from synth.world.contact import pose_bones, rest_joints_of
from synth.world.looks import (
    Background,
    Forearm,
    Light,
    Occluder,
    Sensor,
    Skin,
    sample_background,
    sample_forearm,
    sample_light,
    sample_occluder,
    sample_sensor,
    sample_skin,
)
from synth.world.pose_class import PoseClass
from synth.world.poses import POSES, sample_pose

PALM_TO_CAMERA: Float[np.ndarray, "3 3"] = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
"""Orientation of a right hand that shows its palm to the camera with the fingers up (thumb to the right)."""


@dataclass(frozen=True)
class Scene:
    """One picture to be. A left hand is kept as the right hand of the mirrored picture, plus `is_right` False."""

    sample_id: str
    pose_name: str
    """Key of `POSES`; "" for blends and random poses."""
    params: HandParams
    """Batch of 1, in right-hand form."""
    is_right: bool
    cam_t: Float[np.ndarray, " 3"]
    """The wrist in the camera frame of the picture itself (not of its mirror image), metres."""
    focal_length: float
    """Pixels; the principal point is the picture's centre."""
    size: int
    palm: str
    """Side of the hand towards the camera, a key of `captions.PALM_WORDS`."""
    fingers: dict[str, str]
    """State of every finger, measured on the joint angles."""
    skin: Skin
    light: Light
    background: Background
    forearm: Forearm
    occluder: Occluder | None
    sensor: Sensor
    captions: tuple[str, ...]
    """At least eight wordings, short ones first."""

    @property
    def row_params(self) -> HandParams:
        """MANO parameters of the hand's own side, as data sets store them."""
        return self.params if self.is_right else self.params.mirrored()


def sample_scene(
    rng: np.random.Generator,
    sample_id: str,
    size: int,
    look_range: int = 0,
    photos: bool = False,
    pose_name: str | None = None,
) -> Scene:
    """Decide a scene.

    Args:
        rng: the sample's own generator; nothing else is random.
        sample_id: the sample's name.
        size: side of the picture in pixels.
        look_range: 0, 1 or 2; background patterns and skin textures of different ranges are disjoint.
        photos: whether the user's photos are among the backgrounds.
        pose_name: a key of `POSES`, or None for any pose.
    """
    drawn = sample_pose(rng, pose_name)
    pose_class = POSES.get(drawn.name)
    is_right = bool(rng.random() < 0.5)
    betas = np.clip(rng.normal(0, 0.9, 10), -2.5, 2.5)
    turn = _sample_orientation(rng, pose_class)
    focal_length = float(rng.uniform(1.3, 2.4)) * size
    cam_t = _frame_hand(rng, drawn.hand_pose_rotvec, rest_joints_of(betas), turn, focal_length, size)
    if not is_right:
        cam_t = cam_t * np.array([-1.0, 1.0, 1.0])
    params = HandParams.from_rotvec(
        torch.from_numpy(betas[None]).float(),
        torch.from_numpy(Rotation.from_matrix(turn).as_rotvec()[None]).float(),
        torch.from_numpy(drawn.hand_pose_rotvec[None]).float(),
    )
    skin, light, background = (
        sample_skin(rng, look_range),
        sample_light(rng),
        sample_background(rng, look_range, photos),
    )
    forearm, occluder, sensor = sample_forearm(rng), sample_occluder(rng), sample_sensor(rng)
    own = params if is_right else params.mirrored()
    hand = describe_hand(
        own.hand_pose_rotvec[0].double().numpy(), own.global_orient_rotvec[0].double().numpy(), is_right
    )
    captions = weave_captions(
        hand,
        pose_class.words if pose_class else (),
        skin=skin.words,
        light=light.words,
        background=background.words,
        sleeve=forearm.words,
        rng=rng,
    )
    return Scene(
        sample_id=sample_id,
        pose_name=drawn.name,
        params=params,
        is_right=is_right,
        cam_t=cam_t,
        focal_length=focal_length,
        size=size,
        palm=hand.palm,
        fingers=hand.fingers,
        skin=skin,
        light=light,
        background=background,
        forearm=forearm,
        occluder=occluder,
        sensor=sensor,
        captions=captions,
    )


def orientation(yaw: float, pitch: float, tilt: float) -> Float[np.ndarray, "3 3"]:
    """Orientation of a right hand in the camera frame.

    Args:
        yaw: degrees about the hand's own length; 0 shows the palm, 180 the back, 90 the little finger's side.
        pitch: degrees by which the fingers lean towards the camera.
        tilt: degrees in the picture that raise the thumb's side, whichever side of the hand is seen.
    """
    rise = -tilt if np.cos(np.deg2rad(yaw)) >= 0 else tilt
    turn = Rotation.from_euler("ZXY", [rise, -pitch, yaw], degrees=True).as_matrix()
    return turn @ PALM_TO_CAMERA


def _sample_orientation(rng: np.random.Generator, pose: PoseClass | None) -> np.ndarray:
    facing, centre = (pose.facing, pose.tilt) if pose else ("either", 0.0)
    usual = rng.random() < 0.7 or (pose is not None and pose.oriented)
    if not usual or facing == "either":
        facing = str(rng.choice(["palm", "back", "side"], p=[0.46, 0.42, 0.12]))
    yaw = float(np.clip(rng.normal(0, 22), -55, 55))
    yaw += {"palm": 0.0, "back": 180.0, "side": float(rng.choice([-90.0, 90.0]))}[facing]
    pitch = float(np.clip(rng.normal(0, 16), -45, 45))
    if pose is not None and pose.oriented:
        tilt = centre + float(np.clip(rng.normal(0, 12), -28, 28))
    elif rng.random() < 0.82:
        tilt = centre + float(np.clip(rng.normal(0, 18), -50, 50))
    else:
        tilt = float(rng.uniform(-180, 180))
    return orientation(yaw, pitch, tilt)


def _frame_hand(
    rng: np.random.Generator,
    hand_pose_rotvec: np.ndarray,
    rest_joints: np.ndarray,
    turn: np.ndarray,
    focal_length: float,
    size: int,
) -> np.ndarray:
    """Where the wrist stands so that the hand fills a good part of the picture, near its centre."""
    matrices = Rotation.from_rotvec(hand_pose_rotvec.reshape(15, 3)).as_matrix()
    joints, _ = pose_bones(matrices, rest_joints)
    points = joints @ turn.T
    share = float(rng.uniform(0.46, 0.66))
    offset = np.clip(rng.normal(0, 0.035, 2), -0.08, 0.08) * size
    cam_t = np.array([0.0, 0.0, 0.7])
    smallest = 0.8 * np.linalg.norm(rest_joints[12])  # a fist is not brought nearer than an open hand by much
    for _ in range(6):
        placed = points + cam_t
        pixels = placed[:, :2] / placed[:, 2:] * focal_length
        low, high = pixels.min(0), pixels.max(0)
        extent = max(float((high - low).max()), smallest * focal_length / cam_t[2]) + 0.06 * size
        cam_t[2] *= extent / (share * size)
        cam_t[:2] += (offset - (low + high) / 2) * cam_t[2] / focal_length
    return cam_t
