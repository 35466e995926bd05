"""A stopped run goes on as if it had never stopped; checkpoints are whole; damaged or foreign runs are refused."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import Dataset

from recon.training import (
    StepBatches,
    TrainingConfig,
    TrainingError,
    TrainingInterrupted,
    TrainingTask,
    Validation,
    train,
)


class Line(Dataset):
    """Points of a line; item i depends on i only."""

    def __len__(self) -> int:
        return 50

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        x = torch.tensor([index / 50.0])
        return {"x": x, "y": 2 * x + 1}


class Regression(TrainingTask):
    """A tiny network with dropout and noise, so that every random draw matters."""

    def __init__(self, stop_at: int | None = None, by: str = "crash") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(1, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 1))
        self.stop_at, self.by, self.seen, self.validations = stop_at, by, 0, 0

    def dataset(self) -> Dataset:
        return Line()

    def training_step(self, batch):
        self.seen += 1
        if self.seen == self.stop_at:
            if self.by == "crash":
                raise OSError("power cut")
            os.kill(os.getpid(), signal.SIGTERM)
        noise = torch.randn_like(batch["x"]) + float(np.random.rand())
        loss = ((self.net(batch["x"] + 0.1 * noise) - batch["y"]) ** 2).mean()
        return loss, {"noise": noise.mean()}

    def validate(self) -> Validation:
        self.validations += 1
        torch.rand(3), np.random.rand(3)
        return Validation({"weight": float(self.net[0].weight.sum())}, {"grey": np.full((4, 4, 3), 128, np.uint8)})

    def save_pretrained(self, folder: Path) -> None:
        torch.save(self.net.state_dict(), folder / "net.pt")


def config(out: Path, **changes) -> TrainingConfig:
    values = {
        "steps": 12, "batch_size": 8, "learning_rate": 1e-2, "schedule": "cosine", "checkpoint_every": 5,
        "validate_every": 4, "log_every": 3, "ema_decay": 0.9, "progress": False, **changes,
    }  # fmt: skip
    return TrainingConfig(out=out, **values)


def contents(run: Path) -> dict[str, torch.Tensor]:
    """Every tensor of the last checkpoint: weights, EMA, optimizer, random state."""
    folder = run / "checkpoints" / (run / "checkpoints" / "LATEST").read_text()
    found = {f"model.{name}": tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    for file in ("optimizer.bin", "custom_checkpoint_0.pkl"):
        flat, _ = torch.utils._pytree.tree_flatten(torch.load(folder / file, weights_only=True))
        found |= {f"{file}.{i}": leaf for i, leaf in enumerate(flat) if isinstance(leaf, torch.Tensor)}
    found |= {f"final.{k}": v for k, v in torch.load(run / "final" / "net.pt", weights_only=True).items()}
    return found


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("whole")
    assert train(Regression(), config(run)) == run / "final"
    return run


@pytest.mark.parametrize("by", ["crash", "sigterm"])
def test_resume_is_bit_equal_to_no_interruption(uninterrupted, tmp_path, by):
    with pytest.raises(OSError if by == "crash" else TrainingInterrupted):
        train(Regression(stop_at=8, by=by), config(tmp_path))
    assert (tmp_path / "checkpoints" / "LATEST").read_text() == ("step_00000005" if by == "crash" else "step_00000008")
    second = Regression()
    train(second, config(tmp_path))
    assert second.seen == (7 if by == "crash" else 4)
    expected, found = contents(uninterrupted), contents(tmp_path)
    assert expected.keys() == found.keys() and len(expected) > 20
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name


def test_validation_does_not_move_the_training(uninterrupted, tmp_path):
    train(Regression(), config(tmp_path, validate_every=0))
    expected, found = contents(uninterrupted), contents(tmp_path)
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


def test_final_weights_are_the_average_and_not_the_last(uninterrupted):
    tensors = contents(uninterrupted)
    assert not torch.equal(tensors["final.0.weight"], tensors["model.net.0.weight"])


def test_a_finished_run_is_left_alone_and_keeps_few_checkpoints(uninterrupted):
    task = Regression()
    train(task, config(uninterrupted))
    assert task.seen == 0
    names = sorted(path.name for path in (uninterrupted / "checkpoints").iterdir())
    assert names == ["LATEST", "step_00000010", "step_00000012"]
    lines = [json.loads(line) for line in (uninterrupted / "figures.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [4, 8, 12]
    assert (uninterrupted / "pictures" / "grey_00000012.png").is_file()
    assert any((uninterrupted / "tensorboard").iterdir())


def test_missing_random_state_and_other_facts_are_refused(tmp_path):
    with pytest.raises(TrainingInterrupted):
        train(Regression(stop_at=2, by="sigterm"), config(tmp_path))
    with pytest.raises(TrainingError, match="batch_size = 8, and this run says 4"):
        train(Regression(), config(tmp_path, batch_size=4))
    (tmp_path / "checkpoints" / "step_00000002" / "random_states_0.pkl").unlink()
    with pytest.raises(TrainingError, match="random state"):
        train(Regression(), config(tmp_path))


def test_time_limit_stops_with_a_checkpoint(tmp_path):
    with pytest.raises(TrainingInterrupted, match="time limit after step 1 of 12"):
        train(Regression(), config(tmp_path, time_limit_minutes=1e-9))
    assert (tmp_path / "checkpoints" / "step_00000001" / "run.json").is_file()
    assert not list((tmp_path / "checkpoints").glob(".staged*"))


def test_batches_depend_on_seed_and_step_only_and_cover_each_epoch_once():
    whole = StepBatches(10, 4, seed=3, start=0, steps=5)
    assert list(StepBatches(10, 4, seed=3, start=2, steps=5)) == list(whole)[2:]
    assert sorted(sum(list(whole), [])) == sorted(2 * list(range(10)))
    assert list(StepBatches(10, 4, seed=4, start=0, steps=5)) != list(whole)
    ranks = [StepBatches(10, 4, seed=3, start=0, steps=5, rank=rank, ranks=2) for rank in range(2)]
    assert [a + b for a, b in zip(*ranks, strict=True)] == list(whole)
    with pytest.raises(TrainingError, match="3 processes"):
        StepBatches(10, 4, seed=3, start=0, steps=5, ranks=3)


def test_learning_rate_schedules():
    cosine = TrainingConfig(out=Path("x"), steps=110, batch_size=1, learning_rate=1.0, schedule="cosine", warmup=10)
    assert [cosine.learning_rate_at(s) for s in (0, 9, 10, 60)] == pytest.approx([0.1, 1.0, 1.0, 0.5])
    steps = TrainingConfig(out=Path("x"), steps=10, batch_size=1, learning_rate=1.0, schedule="steps", decay_every=4)
    assert [steps.learning_rate_at(s) for s in (3, 4, 8)] == pytest.approx([1.0, 0.9, 0.81])
    with pytest.raises(TrainingError, match="steps is 0"):
        TrainingConfig(out=Path("x"), steps=0, batch_size=1)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    class Broken(Regression):
        def training_step(self, batch):
            loss, logs = super().training_step(batch)
            return loss * float("nan"), logs

    with pytest.raises(TrainingError, match="nan at step 3"):
        train(Broken(), config(tmp_path))
