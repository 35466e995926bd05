"""Training of VQ-MANO (paper 000, sec. 3.1, B, B.1): L1 on rotations, vertices and joints, with rotated hands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch
from jaxtyping import Float
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from eval.reconstruction import pa_errors_mm
from recon.hand.model import HandModel, HandParams
from recon.hand.skeleton import BONES
from recon.mmhmr.tokenizer import VQMano
from recon.training import Batch, TrainingTask, Validation

CENTIMETRES = 100.0
"""Vertices and joints are compared in centimetres (ours): about a radian's worth at a fingertip."""


@dataclass(frozen=True)
class VQManoLoss:
    """Weights of the loss (paper 000, B)."""

    recon: float = 1.0
    commitment: float = 0.02
    theta: float = 1.0
    vertices: float = 0.5
    joints: float = 0.3


class VQManoTask(TrainingTask):
    """VQ-MANO with its poses and its loss.

    Args:
        poses: hands to learn from; items are `recon.mmhmr.poses.Pose`.
        held_out: hands to measure on.
        hand: MANO npz; the default hand when None.
        width: channels of the tokenizer.
        token_rank: dimensions of what one token says.
        joint_blocks: ResBlocks along the joints.
        token_blocks: ResBlocks along the tokens.
        codebook_size: number of codes.
        num_tokens: tokens of a pose.
        rotate: share of hands that get a uniformly random orientation (augmentation, B.1).
        mesh_every: compare vertices on every n-th hand of a batch (they cost as much as the network).
        loss: weights.
        validation_hands: held-out hands per validation.
    """

    def __init__(
        self,
        poses: Dataset,
        held_out: Dataset,
        hand: Path | None = None,
        width: int = 128,
        token_rank: int = 2,
        joint_blocks: int = 3,
        token_blocks: int = 1,
        codebook_size: int = 2048,
        num_tokens: int = 64,
        rotate: float = 0.5,
        mesh_every: int = 2,
        loss: VQManoLoss | None = None,
        validation_hands: int = 2000,
    ) -> None:
        super().__init__()
        self.hand = (HandModel.from_mano(hand) if hand else HandModel.default()).requires_grad_(False)
        self.poses, self.held_out, self.rotate, self.mesh_every = poses, held_out, rotate, mesh_every
        self.weights, self.validation_hands = loss or VQManoLoss(), validation_hands
        self.tokenizer = VQMano(
            num_tokens=num_tokens,
            codebook_size=codebook_size,
            width=width,
            token_rank=token_rank,
            joint_blocks=joint_blocks,
            token_blocks=token_blocks,
            hand_fingerprint=self.hand.fingerprint,
        )

    def dataset(self) -> Dataset:
        """Hands to learn from."""
        return self.poses

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        """L_vq-mano of a batch of poses."""
        theta = rotations(batch)
        turned = torch.rand(len(theta), device=theta.device) < self.rotate
        turn = roma.random_rotmat(len(theta), device=theta.device)
        theta[:, 0] = torch.where(turned[:, None, None], turn @ theta[:, 0], theta[:, 0])
        decoded, quantized = self.tokenizer(theta)
        some = slice(None, None, self.mesh_every)
        vertices, joints = self._mesh(decoded[some], batch["betas"][some])
        with torch.no_grad():
            true_vertices, true_joints = self._mesh(theta[some], batch["betas"][some])
        loss_theta = functional.l1_loss(decoded, theta)
        loss_vertices = functional.l1_loss(CENTIMETRES * vertices, CENTIMETRES * true_vertices)
        loss_joints = functional.l1_loss(CENTIMETRES * joints, CENTIMETRES * true_joints)
        weights = self.weights
        recon = weights.theta * loss_theta + weights.vertices * loss_vertices + weights.joints * loss_joints
        loss = weights.recon * recon + weights.commitment * quantized.commitment
        logs: dict[str, Tensor | float] = {
            "theta": loss_theta,
            "mpvpe_mm": 1000 * (vertices - true_vertices).norm(dim=-1).mean(),
            "commitment": quantized.commitment,
            "codes_in_batch": float(quantized.tokens.unique().numel()),
        }
        return loss, logs

    def validate(self) -> Validation:
        """PA-MPVPE, PA-MPJPE and plain MPVPE in millimetres, share of codes in use, and a drawing of a few hands."""
        count = min(self.validation_hands, len(self.held_out))  # type: ignore[arg-type]
        loader = DataLoader(self.held_out, batch_size=250, generator=torch.Generator())
        errors: dict[str, list[np.ndarray]] = {"pa_mpvpe_mm": [], "pa_mpjpe_mm": [], "mpvpe_mm": []}
        used = torch.zeros(self.tokenizer.codebook.size, dtype=torch.bool)
        drawing = None
        for batch in loader:
            batch = {name: value.to(self.tokenizer.device) for name, value in batch.items()}
            theta = rotations(batch)
            tokens = self.tokenizer.encode(theta)
            used[tokens.cpu().flatten()] = True
            decoded = [
                points.cpu().numpy() for points in self._mesh(self.tokenizer.decode_tokens(tokens), batch["betas"])
            ]
            truth = [points.cpu().numpy() for points in self._mesh(theta, batch["betas"])]
            errors["pa_mpvpe_mm"].append(pa_errors_mm(decoded[0], truth[0]))
            errors["pa_mpjpe_mm"].append(pa_errors_mm(decoded[1], truth[1]))
            errors["mpvpe_mm"].append(1000 * np.linalg.norm(decoded[0] - truth[0], axis=-1).mean(-1))
            drawing = draw_hands(truth[1][:8], decoded[1][:8]) if drawing is None else drawing
            if sum(map(len, errors["mpvpe_mm"])) >= count:
                break
        figures = {name: float(np.concatenate(parts)[:count].mean()) for name, parts in errors.items()}
        figures["codes_used"] = float(used.float().mean())
        return Validation(figures, {} if drawing is None else {"hands": drawing})

    def save_pretrained(self, folder: Path) -> None:
        """Write the tokenizer alone, in half precision."""
        self.tokenizer.save_half(folder)

    def _mesh(
        self, theta: Float[Tensor, "b 16 3 3"], betas: Float[Tensor, "b 10"]
    ) -> tuple[Float[Tensor, "b v 3"], Float[Tensor, "b 21 3"]]:
        mesh = self.hand(HandParams(betas=betas, global_orient=theta[:, :1], hand_pose=theta[:, 1:]))
        return mesh.vertices, mesh.joints


def rotations(batch: Batch) -> Float[Tensor, "b 16 3 3"]:
    """Rotation matrices of a batch of `Pose`, global orientation first."""
    rotvec = torch.cat((batch["global_orient"], batch["hand_pose"]), -1)
    return roma.rotvec_to_rotmat(rotvec.unflatten(-1, (16, 3)))


def draw_hands(truth: Float[np.ndarray, "n 21 3"], decoded: Float[np.ndarray, "n 21 3"]) -> np.ndarray:
    """Skeletons seen along z, true ones grey and decoded ones red, side by side; uint8 [h,w,3]."""
    figure = Figure(figsize=(2 * len(truth), 2), dpi=80, layout="tight")
    canvas = FigureCanvasAgg(figure)
    for i in range(len(truth)):
        axes = figure.add_subplot(1, len(truth), i + 1)
        for joints, colour in ((truth[i], "0.6"), (decoded[i], "tab:red")):
            for parent, child in BONES:
                axes.plot(joints[[parent, child], 0], -joints[[parent, child], 1], color=colour, linewidth=1.5)
        axes.set_aspect("equal")
        axes.axis("off")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
