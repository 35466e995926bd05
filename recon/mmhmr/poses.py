"""Hands as numbers only, for models of pose: MANO parameters by index, from a file any data set can be turned into."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from recon.files import FileError, open_npz


class Pose(TypedDict):
    """One right hand: shape and rotation vectors in radians, flat mean."""

    betas: Float[Tensor, " 10"]
    global_orient: Float[Tensor, " 3"]
    hand_pose: Float[Tensor, " 45"]


class PoseFile(Dataset):
    """The poses of an npz with `betas` [n,10], `global_orient` [n,3] and `hand_pose` [n,45] (right hands, radians).

    Args:
        path: the file.

    Raises:
        FileError: unreadable, or arrays of other shapes.
    """

    def __init__(self, path: str | Path) -> None:
        widths = {"betas": 10, "global_orient": 3, "hand_pose": 45}
        arrays = open_npz(path, tuple(widths))
        count = len(arrays["betas"])
        for name, width in widths.items():
            if arrays[name].shape != (count, width):
                raise FileError(f"{path} holds {name} of shape {arrays[name].shape}; it must be ({count}, {width}).")
        self.arrays = {name: torch.from_numpy(np.asarray(arrays[name], np.float32)) for name in widths}

    def __len__(self) -> int:
        """Number of hands."""
        return len(self.arrays["betas"])

    def __getitem__(self, index: int) -> Pose:
        """Hand `index`."""
        return Pose(
            betas=self.arrays["betas"][index],
            global_orient=self.arrays["global_orient"][index],
            hand_pose=self.arrays["hand_pose"][index],
        )
