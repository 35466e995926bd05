"""The codebook keeps its codes alive and near the latents; the tokenizer learns, and only meets the hand it knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from recon.files import FileError
from recon.hand.model import HandMismatchError, HandModel
from recon.mmhmr.poses import PoseFile
from recon.mmhmr.quantizer import Codebook
from recon.mmhmr.task import VQManoTask, rotations
from recon.mmhmr.tokenizer import VQMano, sixd_to_rotmat
from recon.training import TrainingConfig, train


@pytest.fixture
def poses(tmp_path: Path) -> PoseFile:
    rng = np.random.default_rng(0)
    arrays = {"betas": (64, 10), "global_orient": (64, 3), "hand_pose": (64, 45)}
    np.savez(tmp_path / "poses.npz", **{name: 0.4 * rng.standard_normal(shape) for name, shape in arrays.items()})
    return PoseFile(tmp_path / "poses.npz")


def small(poses: PoseFile, **changes) -> VQManoTask:
    torch.manual_seed(0)
    options = {
        "width": 32,
        "joint_blocks": 1,
        "token_blocks": 0,
        "codebook_size": 64,
        "validation_hands": 20,
        **changes,
    }
    return VQManoTask(poses, poses, **options)


def test_codes_settle_on_clusters_and_dead_ones_come_back():
    torch.manual_seed(0)
    centres = 5 * torch.randn(4, 8)
    book = Codebook(32, 8, decay=0.8, reset_every=5).train()
    for _ in range(100):
        latents = centres[torch.randint(4, (8, 40))] + 0.01 * torch.randn(8, 40, 8)
        out = book(latents)
    assert out.commitment < 1e-3
    book.embedding[5] = 1e3
    book.counts[5], book.sums[5] = 0, 0
    for _ in range(5):
        book(latents)
    assert book.embedding[5].abs().max() < 100


def test_nearest_is_nearest_and_gradients_pass_straight_through():
    torch.manual_seed(0)
    book = Codebook(50, 8).eval()
    latents = torch.randn(3, 7, 8, requires_grad=True)
    out = book(latents)
    naive = (latents[:, :, None] - book.embedding).norm(dim=-1).argmin(-1)
    assert torch.equal(out.tokens, naive)
    assert torch.allclose(out.codes, book.embedding[naive], atol=1e-6)
    out.codes.sum().backward()
    assert torch.equal(latents.grad, torch.ones_like(latents))
    before = book.embedding.clone()
    book(latents)
    assert torch.equal(before, book.embedding), "an evaluation must not move the codes"


def test_tokens_are_of_the_stated_number_and_certain_tokens_decode_like_themselves():
    model = VQMano(width=32, codebook_size=128).eval()
    theta = roma.random_rotmat((5, 16))
    tokens = model.encode(theta)
    assert tokens.shape == (5, 64) and tokens.max() < 128
    decoded = model.decode_tokens(tokens)
    assert torch.allclose(decoded @ decoded.mT, torch.eye(3).expand_as(decoded), atol=1e-5)
    assert torch.allclose(torch.linalg.det(decoded), torch.ones(5, 16), atol=1e-5)
    sure = torch.full((5, 64, 128), -1e4).scatter(-1, tokens[..., None], 0.0)
    assert torch.allclose(model.decode_codes(model.expected_codes(sure)), decoded, atol=1e-4)
    with pytest.raises(ValueError, match="multiple of the 16 joints"):
        VQMano(num_tokens=60)


def test_sixd_returns_the_rotation_it_was_cut_from():
    rotation = roma.random_rotmat(20)
    assert torch.allclose(sixd_to_rotmat(rotation[..., :2].mT.flatten(-2)), rotation, atol=1e-5)


def test_a_step_of_training_moves_the_tokenizer_and_spares_the_hand(poses):
    task = small(poses)
    batch = torch.utils.data.default_collate([poses[i] for i in range(8)])
    loss, logs = task.train().training_step(batch)
    loss.backward()
    assert all(parameter.grad is not None for parameter in task.tokenizer.parameters())
    assert not any(parameter.requires_grad for parameter in task.hand.parameters())
    assert set(logs) >= {"theta", "mpvpe_mm", "commitment"}


def test_training_lowers_the_error_and_what_is_saved_is_what_was_measured(poses, tmp_path):
    task = small(poses, rotate=0.0)
    with torch.no_grad():
        untrained = task.eval().validate().figures["mpvpe_mm"]
    settings = {
        "learning_rate": 3e-3,
        "ema_decay": 0.8,
        "checkpoint_every": 100,
        "validate_every": 0,
        "progress": False,
    }
    final = train(task, TrainingConfig(out=tmp_path / "run", steps=60, batch_size=32, **settings))
    loaded = VQMano.from_pretrained(final, hand=task.hand)
    task.tokenizer.load_state_dict(loaded.state_dict())
    with torch.no_grad():
        figures = task.eval().validate().figures
    assert figures["mpvpe_mm"] < 0.5 * untrained
    theta = rotations(torch.utils.data.default_collate([poses[i] for i in range(8)]))
    assert torch.equal(loaded.encode(theta), task.tokenizer.encode(theta))
    assert loaded.dtype == torch.float32 and not loaded.training
    other = HandModel.default()
    other.fingerprint = "0123456789abcdef"
    with pytest.raises(HandMismatchError, match="0123456789abcdef"):
        VQMano.from_pretrained(final, hand=other)


def test_pose_files_of_other_shapes_are_refused(tmp_path):
    np.savez(tmp_path / "bad.npz", betas=np.zeros((4, 10)), global_orient=np.zeros((4, 3)), hand_pose=np.zeros((4, 44)))
    with pytest.raises(FileError, match=r"hand_pose of shape \(4, 44\)"):
        PoseFile(tmp_path / "bad.npz")
