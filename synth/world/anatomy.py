"""Joint angles in degrees <-> MANO rotation vectors, by one documented set of axes (DESIGN section 5).

A pose is 21 angles, `ANGLE_NAMES`. Fingers: 0 is straight and parallel to the middle finger; MCP, PIP and DIP
flexion is positive towards the palm; spread is positive towards the thumb. Thumb, all 0 at rest: `flexion` swings it
across the palm, `abduction` out of the palm's plane to the palm side, `twist` turns the pad towards the fingers.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from recon.hand.model import HandModel, HandParams
from recon.hand.skeleton import FINGERS

ANGLE_NAMES = ("thumb_flexion", "thumb_abduction", "thumb_twist", "thumb_mcp", "thumb_ip") + tuple(
    f"{finger}_{joint}" for finger in FINGERS[1:] for joint in ("mcp", "spread", "pip", "dip")
)
MANO_JOINTS_OF_FINGER = {
    "index": (1, 2, 3),
    "middle": (4, 5, 6),
    "little": (7, 8, 9),
    "ring": (10, 11, 12),
    "thumb": (13, 14, 15),
}

_FINGER_LIMITS = ((-25.0, 95.0), (-25.0, 25.0), (-5.0, 112.0), (-12.0, 85.0))
LIMITS: Float[np.ndarray, "21 2"] = np.array(
    [(-35.0, 70.0), (-25.0, 60.0), (-40.0, 75.0), (-20.0, 75.0), (-30.0, 90.0), *(_FINGER_LIMITS * 4)]
)
"""Range of every angle in degrees, wide enough for supple hands and the crossed fingers of the letter R."""


@dataclass(frozen=True)
class Anatomy:
    """Axes of the fifteen finger joints, read from a hand at rest (MANO axes: fingers along -x, palm to -y)."""

    rest_joints: Float[np.ndarray, "21 3"]
    """OpenPose order, metres, wrist at the origin."""
    finger_frames: Float[np.ndarray, "4 3 3"]
    """Per finger, columns: against the finger, to the back of the hand, flexion axis of the MCP."""
    finger_rest: Float[np.ndarray, "4 3 3"]
    """Rotation from the frame's straight finger to the proximal bone at rest."""
    finger_hinges: Float[np.ndarray, "4 3"]
    """Flexion axis of PIP and DIP."""
    finger_rest_bends: Float[np.ndarray, " 4"]
    """PIP flexion at rest, radians; the DIP joint counts as straight at rest, for the tip lies off its bone's axis."""
    parallel_spread: Float[np.ndarray, " 4"]
    """Spread in each finger's frame, radians, that makes it parallel to the middle finger."""
    thumb_frame: Float[np.ndarray, "3 3"]
    """Columns: against the thumb's metacarpal, to the back of the hand, the axis of palmar abduction."""
    thumb_hinge: Float[np.ndarray, " 3"]
    """Flexion axis of the thumb's MCP and IP joints."""

    @classmethod
    def of(cls, rest_joints: Float[np.ndarray, "21 3"], thumb_roll: float = 60.0) -> "Anatomy":
        """Read the axes from 21 rest joints; `thumb_roll` is the angle from the palm's plane to the thumb's hinge."""
        up = np.array([0.0, 1.0, 0.0])
        joints = rest_joints - rest_joints[0]
        ahead = _unit(_flat(joints[12] - joints[9]))
        frames, rests, hinges, bends, parallel = [], [], [], [], []
        for finger in range(1, 5):
            base, middle, distal, tip = joints[1 + 4 * finger : 5 + 4 * finger]
            metacarpal = _unit(_flat(base))
            straight = _unit(_unit(metacarpal) + ahead)
            frame = _frame(straight, up)
            proximal = frame.T @ _unit(middle - base)
            flexion = np.arctan2(-proximal[1], -proximal[0])
            spread = np.arcsin(proximal[2])
            rests.append(frame @ (_rotation_z(flexion) @ _rotation_y(spread)) @ frame.T)
            hinge = np.cross(up, _unit(_flat(tip - base)))
            hinges.append(hinge)
            bends.append(_angle_about(hinge, middle - base, distal - middle))
            parallel.append(_angle_about(up, straight, ahead))
            frames.append(frame)
        thumb = _unit(joints[2] - joints[1])
        thumb_frame = _frame(thumb, _unit(up - thumb * thumb[1]))
        distal = _unit(joints[4] - joints[3])
        flat_axis = _frame(distal, _unit(up - distal * distal[1]))[:, 2]
        hinge = Rotation.from_rotvec(np.deg2rad(-thumb_roll) * distal).apply(flat_axis)
        return cls(
            joints,
            np.stack(frames),
            np.stack(rests),
            np.stack(hinges),
            np.array(bends),
            np.array(parallel),
            thumb_frame,
            hinge,
        )

    def to_rotvec(self, angles: Float[np.ndarray, "*n 21"]) -> Float[np.ndarray, "*n 45"]:
        """Angles in degrees, `ANGLE_NAMES` order, to the flat-mean MANO hand pose of a right hand in radians."""
        return _rotvec(self.to_matrices(angles)).reshape(*angles.shape[:-1], 45)

    def to_matrices(self, angles: Float[np.ndarray, "*n 21"]) -> Float[np.ndarray, "*n 15 3 3"]:
        """As `to_rotvec`, as rotation matrices in MANO joint order without the wrist."""
        radians = np.deg2rad(np.asarray(angles, dtype=np.float64))
        out = np.empty((*radians.shape[:-1], 15, 3, 3))
        f = self.thumb_frame
        swing = _rotation_y(-radians[..., 0]) @ _rotation_z(radians[..., 1]) @ _rotation_x(-radians[..., 2])
        out[..., 12, :, :] = f @ swing @ f.T
        out[..., 13, :, :] = _about(self.thumb_hinge, radians[..., 3])
        out[..., 14, :, :] = _about(self.thumb_hinge, radians[..., 4])
        for finger in range(4):
            mcp, spread, pip, dip = np.moveaxis(radians[..., 5 + 4 * finger : 9 + 4 * finger], -1, 0)
            first = MANO_JOINTS_OF_FINGER[FINGERS[finger + 1]][0] - 1
            f = self.finger_frames[finger]
            bend = _rotation_z(mcp) @ _rotation_y(spread + self.parallel_spread[finger])
            out[..., first, :, :] = f @ bend @ f.T @ self.finger_rest[finger].T
            out[..., first + 1, :, :] = _about(self.finger_hinges[finger], pip - self.finger_rest_bends[finger])
            out[..., first + 2, :, :] = _about(self.finger_hinges[finger], dip)
        return out

    def to_angles(self, hand_pose_rotvec: Float[np.ndarray, "*n 45"]) -> Float[np.ndarray, "*n 21"]:
        """The 21 angles in degrees of any right-hand MANO pose; exact for poses made by `to_rotvec`.

        What the angles cannot carry (a finger turned about its own axis, a hinge bent sideways) is left out.
        """
        rotvec = np.asarray(hand_pose_rotvec, dtype=np.float64)
        batch = rotvec.shape[:-1]
        matrices = Rotation.from_rotvec(rotvec.reshape(-1, 3)).as_matrix().reshape(*batch, 15, 3, 3)
        out = np.empty((*batch, 21))
        m = self.thumb_frame.T @ matrices[..., 12, :, :] @ self.thumb_frame
        out[..., 0] = -np.arctan2(-m[..., 2, 0], m[..., 0, 0])
        out[..., 1] = np.arcsin(np.clip(m[..., 1, 0], -1, 1))
        out[..., 2] = -np.arctan2(-m[..., 1, 2], m[..., 1, 1])
        out[..., 3] = _twist(matrices[..., 13, :, :], self.thumb_hinge)
        out[..., 4] = _twist(matrices[..., 14, :, :], self.thumb_hinge)
        for finger in range(4):
            first = MANO_JOINTS_OF_FINGER[FINGERS[finger + 1]][0] - 1
            f = self.finger_frames[finger]
            m = f.T @ matrices[..., first, :, :] @ self.finger_rest[finger] @ f
            columns = out[..., 5 + 4 * finger : 9 + 4 * finger]
            columns[..., 0] = np.arctan2(m[..., 1, 0], m[..., 0, 0])
            columns[..., 1] = np.arcsin(np.clip(-m[..., 2, 0], -1, 1)) - self.parallel_spread[finger]
            hinge = self.finger_hinges[finger]
            columns[..., 2] = _twist(matrices[..., first + 1, :, :], hinge) + self.finger_rest_bends[finger]
            columns[..., 3] = _twist(matrices[..., first + 2, :, :], hinge)
        return np.rad2deg(out)


@cache
def default_anatomy() -> Anatomy:
    """The axes of the default hand."""
    flat = HandParams.from_rotvec(torch.zeros(1, 10), torch.zeros(1, 3), torch.zeros(1, 45))
    mesh = HandModel.default()(flat)
    return Anatomy.of(mesh.joints[0].numpy().astype(np.float64))


def _flat(v: np.ndarray) -> np.ndarray:
    return v * np.array([1.0, 0.0, 1.0])


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v)


def _frame(along: np.ndarray, up: np.ndarray) -> np.ndarray:
    return np.stack([-along, up, np.cross(-along, up)], axis=1)


def _angle_about(axis: np.ndarray, start: np.ndarray, end: np.ndarray) -> float:
    start, end = start - axis * (start @ axis), end - axis * (end @ axis)
    return float(np.arctan2(np.cross(start, end) @ axis, start @ end))


def _about(axis: np.ndarray, angle: np.ndarray | np.floating | float) -> np.ndarray:
    flat = np.reshape(angle, -1)
    return Rotation.from_rotvec(flat[:, None] * axis).as_matrix().reshape(*np.shape(angle), 3, 3)


def _rotation_x(angle: np.ndarray | np.floating | float) -> np.ndarray:
    return _about(np.array([1.0, 0.0, 0.0]), angle)


def _rotation_y(angle: np.ndarray | np.floating | float) -> np.ndarray:
    return _about(np.array([0.0, 1.0, 0.0]), angle)


def _rotation_z(angle: np.ndarray | np.floating | float) -> np.ndarray:
    return _about(np.array([0.0, 0.0, 1.0]), angle)


def _rotvec(matrices: np.ndarray) -> np.ndarray:
    return Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_rotvec().reshape(matrices.shape[:-1])


def _twist(matrices: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Signed angle of the part of each rotation that turns about `axis`."""
    quaternion = Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_quat()
    angle = 2 * np.arctan2(quaternion[:, :3] @ axis, quaternion[:, 3])
    return ((angle + np.pi) % (2 * np.pi) - np.pi).reshape(matrices.shape[:-2])
