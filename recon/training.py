"""The one training loop, on Accelerate: any task with `training_step(batch) -> (loss, logs)`.

Runs can be stopped at any moment and go on bit-equal: the batch of step s is a function of (seed, s) only, the learning
rate is a function of s only, and a checkpoint holds weights, EMA, optimizer and the random state of every rank.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers.training_utils import EMAModel
from PIL import Image
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, Dataset, Sampler
from torch.utils.tensorboard import SummaryWriter
from tqdm.auto import tqdm

from recon.checkpoints import Checkpoints, write_text
from recon.checkpoints import TrainingError as TrainingError

logger = logging.getLogger(__name__)

Batch = dict[str, Any]


class TrainingInterrupted(RuntimeError):
    """The run stopped before its last step (SIGTERM, Ctrl-C or the time limit); its last checkpoint is whole."""

    exit_code = 1


@dataclass(frozen=True)
class Validation:
    """What a task found out about itself: numbers for the curves, pictures (uint8 [h,w,3]) to look at."""

    figures: Mapping[str, float] = field(default_factory=dict)
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)


class TrainingTask(nn.Module):
    """A model together with its data and its loss.

    All randomness of `training_step` comes from torch's, numpy's or Python's global generators, whose states a
    checkpoint keeps; a data set's item depends on its index alone.
    """

    def dataset(self) -> Dataset:
        """Map-style training set of dictionaries of tensors; item i is the same whenever it is asked for."""
        raise TrainingError(f"{type(self).__name__} defines no dataset().")

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Loss (a scalar) and the numbers to log."""
        raise TrainingError(f"{type(self).__name__} defines no training_step().")

    def validate(self) -> Validation:
        """Figures and pictures on held-out data; called in eval mode, without gradients, with the EMA weights."""
        return Validation()

    def save_pretrained(self, folder: Path) -> None:
        """Write what users load; called with the EMA weights in place."""
        raise TrainingError(f"{type(self).__name__} defines no save_pretrained().")

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The training step, so that distributed wrappers see it."""
        return self.training_step(batch)


@dataclass(frozen=True)
class TrainingConfig:
    """How long, how fast and where to train.

    Attributes:
        out: the run's folder: `checkpoints/`, `tensorboard/`, `pictures/`, `figures.jsonl`, and `final/` at the end.
        steps: optimizer steps in all.
        batch_size: samples in a step over all ranks together.
        learning_rate: the peak.
        schedule: after the warm-up hold, fall linearly or as a cosine to zero, or decay in steps.
        warmup: steps of linear warm-up.
        decay: factor of the `steps` schedule.
        decay_every: interval of the `steps` schedule, in steps.
        optimizer: Adam or AdamW.
        weight_decay: of AdamW.
        betas: of Adam.
        ema_decay: decay of the averaged weights, which are what is validated and saved; 0 switches them off.
        grad_clip: largest gradient norm; 0 switches clipping off.
        seed: of the order of samples and of all randomness.
        mixed_precision: autocast type.
        checkpoint_every: steps between checkpoints.
        validate_every: steps between validations; 0 leaves only the one at the end.
        log_every: steps between points of the curves.
        keep: checkpoints to keep.
        num_workers: loader processes.
        time_limit_minutes: stop with a checkpoint after so long; 0 is no limit.
        progress: show the progress bar (on the first rank).
    """

    out: Path
    steps: int
    batch_size: int
    learning_rate: float = 1e-4
    schedule: Literal["constant", "linear", "cosine", "steps"] = "constant"
    warmup: int = 0
    decay: float = 0.9
    decay_every: int = 20_000
    optimizer: Literal["adam", "adamw"] = "adamw"
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    ema_decay: float = 0.999
    grad_clip: float = 1.0
    seed: int = 0
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    checkpoint_every: int = 1000
    validate_every: int = 1000
    log_every: int = 20
    keep: int = 2
    num_workers: int = 0
    time_limit_minutes: float = 0.0
    progress: bool = True

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        for name in ("steps", "batch_size", "checkpoint_every", "log_every", "keep", "decay_every"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if not 0 <= self.ema_decay < 1:
            raise TrainingError(f"ema_decay is {self.ema_decay}; it must be in [0, 1).")

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of `step` (0-based)."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        factor = {
            "constant": 1.0,
            "linear": 1.0 - done,
            "cosine": 0.5 * (1 + math.cos(math.pi * min(1.0, done))),
            "steps": self.decay ** (step // self.decay_every),
        }[self.schedule]
        return self.learning_rate * factor


class StepBatches(Sampler[list[int]]):
    """Index lists of steps `start` .. `steps`; step s walks the seed's endless sequence of shuffled epochs.

    Each rank takes its slice of the step's batch, so that the batch is the same for any number of ranks.
    """

    def __init__(
        self, length: int, batch_size: int, seed: int, start: int, steps: int, rank: int = 0, ranks: int = 1
    ) -> None:
        if length < 1:
            raise TrainingError("The training set is empty.")
        if batch_size % ranks:
            raise TrainingError(f"batch_size {batch_size} cannot be split evenly over {ranks} processes.")
        self.length, self.batch_size, self.seed, self.start, self.steps = length, batch_size, seed, start, steps
        self.rank, self.share = rank, batch_size // ranks
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def __len__(self) -> int:
        """Steps that are left."""
        return max(0, self.steps - self.start)

    def indices(self, step: int) -> list[int]:
        """Sample indices of this rank at `step`."""
        first = step * self.batch_size + self.rank * self.share
        return [self._at(position) for position in range(first, first + self.share)]

    def _at(self, position: int) -> int:
        epoch, offset = divmod(position, self.length)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, np.random.default_rng([self.seed, epoch]).permutation(self.length)
        return int(self._order[offset])

    def __iter__(self) -> Iterator[list[int]]:
        """Batches in the order of steps."""
        return (self.indices(step) for step in range(self.start, self.steps))


def train(task: TrainingTask, config: TrainingConfig) -> Path:
    """Train `task`, going on from the newest checkpoint in `config.out` if there is one.

    Returns:
        `config.out/final`, written by `task.save_pretrained` with the EMA weights.

    Raises:
        TrainingInterrupted: stopped early with a whole checkpoint; the same call goes on.
        TrainingError: the run in the folder is another one, or damaged, or the loss is not finite.
    """
    clock = time.monotonic()
    accelerator = Accelerator(mixed_precision=config.mixed_precision)
    set_seed(config.seed, device_specific=True)
    parameters = [parameter for parameter in task.parameters() if parameter.requires_grad]
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    optimizer = kind(
        parameters, lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay, fused=True
    )
    model, optimizer = accelerator.prepare(task, optimizer)
    ema = EMAModel(parameters, decay=config.ema_decay, foreach=True)
    ema.to(accelerator.device)
    accelerator.register_for_checkpointing(ema)

    final = config.out / "final"
    checkpoints = Checkpoints(config.out / "checkpoints", config.keep)
    facts = {"seed": config.seed, "batch_size": config.batch_size, "processes": accelerator.num_processes}
    latest = checkpoints.latest()
    start = checkpoints.load(accelerator, latest, facts) if latest else 0
    if start >= config.steps and final.is_dir():
        return final
    dataset = task.dataset()
    length = len(dataset)  # type: ignore[arg-type]
    rank, ranks = accelerator.process_index, accelerator.num_processes
    batches = StepBatches(length, config.batch_size, config.seed, start, config.steps, rank, ranks)
    # A loader draws its workers' seed from the global generator unless it has its own: that would break resuming.
    loader = DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=config.num_workers,
        pin_memory=accelerator.device.type == "cuda",
        generator=torch.Generator().manual_seed(config.seed),
    )
    report = _Report(config, accelerator, start)
    with _StopSignal() as stop, report:
        step = start
        for step, batch in enumerate(loader, start):
            model.train()
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate_at(step)
            with _attention(accelerator.device):
                loss, logs = model(_to_device(batch, accelerator.device))
                accelerator.backward(loss)
            if config.grad_clip:
                accelerator.clip_grad_norm_(parameters, config.grad_clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if config.ema_decay:
                ema.step(parameters)
            step += 1
            report.step(step, loss, logs)
            late = config.time_limit_minutes and time.monotonic() - clock > 60 * config.time_limit_minutes
            if stop.asked or late:
                accelerator.set_trigger()
            interrupted = accelerator.check_trigger() and step < config.steps
            if step % config.checkpoint_every == 0 or step == config.steps or interrupted:
                checkpoints.save(accelerator, step, facts)
            if interrupted:
                reason = "the time limit" if late else "a signal"
                done = f"Stopped by {reason} after step {step} of {config.steps}"
                raise TrainingInterrupted(f"{done}; the same command goes on from {config.out}.")
            if config.validate_every and step % config.validate_every == 0 and step < config.steps:
                report.validation(step, _with_ema(task, ema, parameters, config, accelerator, None))
        report.validation(config.steps, _with_ema(task, ema, parameters, config, accelerator, final))
    accelerator.wait_for_everyone()
    return final


def _attention(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Plain attention on a CPU, where the backward pass of torch's fused one is several times slower."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else contextlib.nullcontext()


def _with_ema(
    task: TrainingTask,
    ema: EMAModel,
    parameters: list[nn.Parameter],
    config: TrainingConfig,
    accelerator: Accelerator,
    final: Path | None,
) -> Validation:
    """Validate (and save, when `final` is given) on the first rank with the averaged weights; no random state moves."""
    found = Validation()
    if accelerator.is_main_process:
        states = np.random.get_state()
        if config.ema_decay:
            ema.store(parameters)
            ema.copy_to(parameters)
        task.eval()
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(config.seed)
            found = task.validate()
            if final:
                staged = final.with_name(".final")
                shutil.rmtree(staged, ignore_errors=True)
                staged.mkdir(parents=True)
                task.save_pretrained(staged)
                shutil.rmtree(final, ignore_errors=True)
                staged.rename(final)
        if config.ema_decay:
            ema.restore(parameters)
        np.random.set_state(states)
    accelerator.wait_for_everyone()
    return found


class _Report:
    """Progress bar, TensorBoard curves, figures.jsonl and pictures, on the first rank only."""

    def __init__(self, config: TrainingConfig, accelerator: Accelerator, start: int) -> None:
        self.config, self.accelerator, self.start = config, accelerator, start
        self.sums: dict[str, tuple[Tensor | float, int]] = {}

    def __enter__(self) -> _Report:
        if self.accelerator.is_main_process:
            self.writer = SummaryWriter(str(self.config.out / "tensorboard"), purge_step=self.start + 1)
            text = json.dumps(asdict(self.config), indent=1, default=str)
            write_text(self.config.out / "training.json", text)
        self.bar = tqdm(
            total=self.config.steps,
            initial=self.start,
            disable=not (self.config.progress and self.accelerator.is_main_process),
            desc=self.config.out.name,
            mininterval=1.0,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()
        if self.accelerator.is_main_process:
            self.writer.close()

    def step(self, step: int, loss: Tensor, logs: Mapping[str, Tensor | float]) -> None:
        for name, value in {"loss": loss, **logs}.items():
            number = value.detach() if isinstance(value, Tensor) else value
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = (total + number, count + 1)
        self.bar.update()
        if step % self.config.log_every and step != self.config.steps:
            return
        means = {name: float(total) / count for name, (total, count) in self.sums.items()}
        if not math.isfinite(means["loss"]):
            raise TrainingError(f"The loss is {means['loss']} at step {step}; lower the learning rate.")
        self.sums = {}
        if self.accelerator.is_main_process:
            self.bar.set_postfix(loss=f"{means['loss']:.4f}", refresh=False)
            for name, mean in {**means, "learning_rate": self.config.learning_rate_at(step - 1)}.items():
                self.writer.add_scalar(f"train/{name}", mean, step)

    def validation(self, step: int, found: Validation) -> None:
        if not self.accelerator.is_main_process:
            return
        figures = {name: float(value) for name, value in found.figures.items()}
        with (self.config.out / "figures.jsonl").open("a") as lines:
            lines.write(json.dumps({"step": step, **figures}) + "\n")
        for name, value in figures.items():
            self.writer.add_scalar(f"validation/{name}", value, step)
        for name, picture in found.pictures.items():
            self.writer.add_image(f"validation/{name}", picture, step, dataformats="HWC")
            folder = self.config.out / "pictures"
            folder.mkdir(exist_ok=True)
            Image.fromarray(picture).save(folder / f"{name}_{step:08d}.png")
        logger.info("step %d: %s", step, ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))


class _StopSignal:
    """Turns SIGTERM and Ctrl-C into a wish that the loop grants at the end of its step; a second Ctrl-C is at once."""

    asked = False

    def __enter__(self) -> _StopSignal:
        self.previous = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def _ask(self, number: int, frame: Any) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)


def _to_device(batch: Batch, device: torch.device) -> Batch:
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for name, value in batch.items()
    }
