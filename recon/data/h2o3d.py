"""H2O-3D (Hampali et al., CVPR 2022): two hands with an object, in the layout and the axes of HO-3D.

The labels' keys begin with `rightHand` and `leftHand` (`rightHandPose`, `rightHandJoints3D`, `rightHandBoundingBox`);
`handBeta` and `camMat` are shared. Every picture gives a right and a left hand; the left one's pose is MANO's left
model's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from recon.data.ho3d import HonnotateReader


class H2o3d(HonnotateReader):
    """H2O-3D version 1."""

    name: ClassVar[str] = "h2o3d"
    licence: ClassVar[str] = "research only, https://github.com/shreyashampali/ho3d"
    suffix: ClassVar[str] = "jpg"
    hands: ClassVar[Mapping[str, str]] = {"rightHand": "right", "leftHand": "left"}
