"""From MANO parameters to a hand mesh: one code path for MANO's own file and for the default hand (DESIGN section 4).

The model is a right hand in MANO's axes: at rest, flat, its fingers point along -x, the thumb side is +z, the palm
faces -y and the wrist joint is the origin; a positive rotation about z at a finger joint bends it toward the palm.
A left hand is the mirror image: mirror the parameters, run the model, mirror the mesh.
"""

import contextlib
import importlib.resources
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import roma
import smplx
import torch
from jaxtyping import Float, Int
from smplx.utils import Struct
from torch import Tensor, nn

from recon.files import FileError, open_npz
from recon.hand.fields import FIELDS, check_fields, fingerprint
from recon.hand.mano_file import is_right_hand
from recon.hand.skeleton import FINGERTIP_VERTICES, MANO_TO_OPENPOSE

_FLIP_X = torch.tensor([-1.0, 1.0, 1.0])


class HandMismatchError(ValueError):
    """Something made for one hand model meets another; the message names both."""


@dataclass(frozen=True)
class HandParams:
    """MANO parameters of a batch of hands: shape, and rotation matrices of the 16 joints."""

    betas: Float[Tensor, "b 10"]
    """Shape coefficients, in standard deviations."""
    global_orient: Float[Tensor, "b 1 3 3"]
    """Rotation of the wrist, from the model's axes to the camera's (or the caller's) axes."""
    hand_pose: Float[Tensor, "b 15 3 3"]
    """Rotations of the finger joints in MANO's order, identity when flat."""

    @classmethod
    def from_rotvec(
        cls,
        betas: Float[Tensor, "b 10"],
        global_orient_rotvec: Float[Tensor, "b 3"],
        hand_pose_rotvec: Float[Tensor, "b 45"],
    ) -> "HandParams":
        """From rotation vectors in radians, flat mean (all zeros is the flat hand)."""
        rotvec = torch.cat([global_orient_rotvec, hand_pose_rotvec], dim=-1).unflatten(-1, (16, 3))
        rotations = roma.rotvec_to_rotmat(rotvec)
        return cls(betas=betas, global_orient=rotations[:, :1], hand_pose=rotations[:, 1:])

    @property
    def global_orient_rotvec(self) -> Float[Tensor, "b 3"]:
        """Rotation vector of the wrist, radians."""
        return roma.rotmat_to_rotvec(self.global_orient).flatten(1)

    @property
    def hand_pose_rotvec(self) -> Float[Tensor, "b 45"]:
        """Rotation vectors of the finger joints, radians."""
        return roma.rotmat_to_rotvec(self.hand_pose).flatten(1)

    def mirrored(self) -> "HandParams":
        """The parameters of the other hand: rotations mirrored in the plane x = 0, as rotation vectors (x, -y, -z)."""
        flip = _FLIP_X.to(self.global_orient)
        flips = flip[:, None] * flip
        return replace(self, global_orient=self.global_orient * flips, hand_pose=self.hand_pose * flips)


@dataclass(frozen=True)
class HandMesh:
    """Meshes and joints of a batch of hands, metres."""

    vertices: Float[Tensor, "b v 3"]
    """Root-relative: the wrist joint is the origin, until `translated`."""
    joints: Float[Tensor, "b 21 3"]
    """Wrist, thumb, index, middle, ring, little; base to tip."""

    def mirrored(self) -> "HandMesh":
        """The same mesh in a mirror at x = 0 (flip the faces' winding when drawing it)."""
        return replace(
            self,
            vertices=self.vertices * _FLIP_X.to(self.vertices),
            joints=self.joints * _FLIP_X.to(self.joints),
        )

    def translated(self, cam_t: Float[Tensor, "b 3"]) -> "HandMesh":
        """The mesh moved so that the wrist joint lies at `cam_t`, metres."""
        return replace(self, vertices=self.vertices + cam_t[:, None], joints=self.joints + cam_t[:, None])


class HandModel(nn.Module):
    """MANO parameters -> `HandMesh` of a right hand, differentiable, through `smplx.MANOLayer`.

    Beside the layer it holds `faces`; `wrist_loop`, the vertices around the open wrist in order; `part_of_vertex`, the
    joint (0..15, MANO's order) that moves each vertex most; and `pose_components`, principal directions of poses (rows,
    rotation vectors around the flat hand). `extras` are further arrays of the file: the default hand's `joint_frames`
    [16, 3, 3] (columns: bending axis, bone, palm side), `palmness` [778], `nail_mask` [778] and `nail_*` boxes.
    """

    faces: Int[Tensor, "f 3"]
    wrist_loop: Int[Tensor, "w"]
    part_of_vertex: Int[Tensor, "v"]
    pose_components: Float[Tensor, "45 45"]
    _tips: Int[Tensor, "5"]
    _order: Int[Tensor, "21"]

    def __init__(self, arrays: Mapping[str, np.ndarray], name: str) -> None:
        """Build the layer from MANO's fields.

        Args:
            arrays: the fields of `recon.hand.fields.FIELDS`, and any extras such as masks for looks.
            name: how messages call this hand.

        Raises:
            FileError: a field is missing or not as it must be.
        """
        super().__init__()
        self.name = name
        fields = check_fields(arrays, name)
        self.fingerprint = fingerprint(fields)
        self.extras = {key: value for key, value in arrays.items() if key not in FIELDS}
        with contextlib.redirect_stdout(io.StringIO()):  # smplx prints that there are ten shape coefficients
            self.layer = smplx.MANOLayer(
                model_path="",
                data_struct=Struct(**fields),
                use_pca=False,
                flat_hand_mean=True,
                create_body_pose=False,
            )
        for module in self.layer.modules():  # a checkpoint holds the fingerprint, never the (licensed) hand itself
            for key, buffer in list(module.named_buffers(recurse=False)):
                module.register_buffer(key, buffer, persistent=False)
        faces = fields["f"]
        self.register_buffer("faces", torch.from_numpy(faces), persistent=False)
        self.register_buffer("wrist_loop", torch.from_numpy(boundary_loop(faces)), persistent=False)
        parts = torch.from_numpy(fields["weights"].argmax(axis=1))
        self.register_buffer("part_of_vertex", parts, persistent=False)
        components = torch.from_numpy(fields["hands_components"]).float()
        self.register_buffer("pose_components", components, persistent=False)
        self.register_buffer("_tips", torch.tensor(list(FINGERTIP_VERTICES.values())), persistent=False)
        self.register_buffer("_order", torch.tensor(MANO_TO_OPENPOSE), persistent=False)

    @classmethod
    def default(cls) -> "HandModel":
        """The free hand that ships with the package."""
        resource = importlib.resources.files("recon.hand.default") / "default_hand.npz"
        with importlib.resources.as_file(resource) as path, np.load(path, allow_pickle=False) as archive:
            return cls({key: archive[key] for key in archive.files}, name="the default hand")

    @classmethod
    def from_mano(cls, path: str | Path) -> "HandModel":
        """MANO's right hand, from the npz that ``handloom assets import-mano`` wrote.

        Raises:
            FileError: the file is missing, damaged, not such an npz, or holds the left hand.
        """
        fields = open_npz(path, tuple(FIELDS))
        model = cls(fields, name=f"the MANO hand of {Path(path).name}")
        if not is_right_hand(fields):
            raise FileError(f"{path} holds a left hand; the model wants the right one and mirrors it for left hands.")
        return model

    def forward(self, params: HandParams) -> HandMesh:
        """Pose a batch of right hands.

        Args:
            params: shape and pose; a left hand's must be mirrored first.

        Returns:
            Vertices and the 21 joints in metres, rotated by `global_orient`, the wrist joint at the origin.
        """
        output = self.layer(betas=params.betas, global_orient=params.global_orient, hand_pose=params.hand_pose)
        vertices, joints_mano = output.vertices, output.joints[:, :16]  # [B, V, 3], [B, 16, 3]
        joints = torch.cat([joints_mano, vertices[:, self._tips]], dim=1)[:, self._order]  # [B, 21, 3]
        wrist = joints_mano[:, :1]
        return HandMesh(vertices=vertices - wrist, joints=joints - wrist)

    def check_fingerprint(self, expected: str, name: str) -> None:
        """Make sure that something was made for this very hand.

        Args:
            expected: the fingerprint stored with it.
            name: what it is, for the message ("the checkpoint at ...").

        Raises:
            HandMismatchError: the fingerprints differ.
        """
        if expected != self.fingerprint:
            raise HandMismatchError(
                f"{name} was made for the hand with fingerprint {expected}, but {self.name} has {self.fingerprint}; "
                "load it with the hand it was made for."
            )


def boundary_loop(faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "w"]:
    """Vertex ids around the open wrist, in order, counter-clockwise seen from outside the hand (along -x).

    Raises:
        ValueError: the open edges do not form exactly one loop.
    """
    edges = {(int(a), int(b)) for face in faces for a, b in zip(face, np.roll(face, -1), strict=True)}
    following = {b: a for a, b in edges if (b, a) not in edges}
    if not following:
        raise ValueError("the hand's faces leave no open edge, but the wrist must be one open loop.")
    loop = [min(following)]
    while (vertex := following.get(loop[-1])) not in (loop[0], None):
        loop.append(vertex)
    if vertex is None or len(loop) != len(following):
        raise ValueError(f"the hand's {len(following)} open edges do not form one loop around the wrist.")
    return np.array(loop, dtype=np.int64)
