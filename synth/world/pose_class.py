"""One named hand pose (DESIGN section 5).

Classes that differ by name or wrist orientation alone (Y and "call me", thumbs up and down) share their `shape`.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from synth.world.anatomy import default_anatomy
from synth.world.pose_table import SHAPES


@dataclass(frozen=True)
class PoseClass:
    """One named hand pose."""

    name: str
    kind: str
    """"letter", "gesture", "grasp" or "random"."""
    words: tuple[str, ...]
    """Noun phrases for captions, the plainest first: "a fist", "a closed fist"."""
    shape: str
    """The class whose hand shape this one shares; its own name where it has its own; a key of `SHAPES`."""
    facing: str = "either"
    """Side of the hand that usually faces the camera: "palm", "back", "thumb" (radial side) or "either"."""
    tilt: float = 0.0
    """Degrees by which the hand is turned in the picture so that its thumb side rises; 0 has the fingers up."""
    oriented: bool = False
    """Whether the name is wrong for another tilt (thumbs down, the letters P and Q)."""

    @cached_property
    def angles(self) -> Float[np.ndarray, " 21"]:
        """Degrees, `anatomy.ANGLE_NAMES` order."""
        return shape_angles(self.shape)

    @cached_property
    def hand_pose_rotvec(self) -> Float[np.ndarray, " 45"]:
        """Flat-mean MANO hand pose of a right hand, radians."""
        return default_anatomy().to_rotvec(self.angles)


def shape_angles(shape: str) -> Float[np.ndarray, " 21"]:
    """Degrees in `ANGLE_NAMES` order of a row of the pose table."""
    thumb, *fingers = SHAPES[shape]
    out = list(thumb)
    for mcp, pip, dip, spread in fingers:
        out += [mcp, spread, pip, dip]
    return np.array(out, dtype=np.float64)
