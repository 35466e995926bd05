"""The three trainings run on a tiny data set: losses fall on one batch, folders load, dropped controls are zeros."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderTiny
from torch.utils.data import default_collate

from recon.training import TrainingTask
from synth.controlnet.autoencoder_task import AutoencoderTask
from synth.controlnet.networks import make_autoencoder
from synth.controlnet.task import ControlNetTask
from synth.handclip.model import HandClip
from synth.handclip.task import HandClipTask
from tests.synth.controlnet.hand_set import write_hands
from tests.synth.controlnet.test_networks import TINY, TINY_CLIP


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hands")
    write_hands(root / "data", size=32)
    HandClip(TINY_CLIP).save_pretrained(root / "handclip")
    make_autoencoder(8).save_pretrained(root / "autoencoder")
    return root


def overfit(task: TrainingTask, steps: int, rate: float) -> tuple[float, float]:
    """Mean loss of the first and of the last quarter of `steps` on one batch."""
    torch.manual_seed(0)
    dataset = task.dataset()
    batch = default_collate([dataset[i] for i in range(4)])
    optimizer = torch.optim.Adam([p for p in task.parameters() if p.requires_grad], lr=rate)
    losses = []
    for _ in range(steps):
        loss, _ = task.train().training_step(batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss))
    return sum(losses[: steps // 4]), sum(losses[-(steps // 4) :])


def test_handclip_learns_and_saves(folder: Path, tmp_path: Path) -> None:
    task = HandClipTask([folder / "data"], [folder / "data"], folder / "cache", TINY_CLIP, size=32, retrieval=4)
    first, last = overfit(task, 40, 3e-3)
    assert last < 0.8 * first
    with torch.no_grad():
        figures = task.eval().validate().figures
    assert 0 <= figures["recall_at_1_long_caption"] <= 1
    task.save_pretrained(tmp_path)
    assert HandClip.from_pretrained(tmp_path).config == TINY_CLIP


def test_the_autoencoder_learns_and_saves(folder: Path, tmp_path: Path) -> None:
    task = AutoencoderTask([folder / "data"], [folder / "data"], folder / "cache", size=32, crop=16, width=8)
    first, last = overfit(task, 40, 3e-3)
    assert last < 0.85 * first
    with torch.no_grad():
        found = task.eval().validate()
        task.save_pretrained(tmp_path)
    assert found.pictures["decoded"].shape[0] == 64
    vae = AutoencoderTiny.from_pretrained(tmp_path)
    assert vae.config.scaling_factor != 1.0


@pytest.fixture(scope="module")
def painter(folder: Path) -> ControlNetTask:
    torch.manual_seed(0)
    sets = [folder / "data"], [folder / "data"], folder / "cache"
    return ControlNetTask(*sets, folder / "autoencoder", folder / "handclip", size=32, denoiser=TINY, steps=2)


def test_base_and_controlnet_learn_together_and_are_saved_apart(painter: ControlNetTask, tmp_path: Path) -> None:
    first, last = overfit(painter, 60, 3e-3)
    assert last < 0.9 * first
    with torch.no_grad():
        found = painter.eval().validate()
    assert found.pictures["painted"].shape == (4 * 32, 4 * 32, 3)
    painter.save_pretrained(tmp_path)
    assert (tmp_path / "base" / "model_index.json").is_file()
    assert (tmp_path / "controlnet" / "diffusion_pytorch_model.safetensors").is_file()


def test_dropped_controls_are_zeros_in_the_stated_shares(painter: ControlNetTask) -> None:
    torch.manual_seed(0)
    kept = painter.drop_control(torch.ones(4000, 6, 1, 1))[..., 0, 0].bool()
    mesh, pose = kept[:, :3].all(1), kept[:, 3:].all(1)
    assert (kept[:, :3].any(1) == mesh).all()
    assert float((~mesh & pose).float().mean()) == pytest.approx(painter.drop_one_control, abs=0.03)
    assert float((mesh & ~pose).float().mean()) == pytest.approx(painter.drop_one_control, abs=0.03)
    assert float((~mesh & ~pose).float().mean()) == pytest.approx(painter.drop_controls, abs=0.02)


def test_frozen_parts_do_not_train(painter: ControlNetTask) -> None:
    trained = {name.split(".")[0] for name, value in painter.named_parameters() if value.requires_grad}
    assert trained == {"unet", "controlnet"}
