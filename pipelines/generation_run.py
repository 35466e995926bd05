"""A generation run, from models to finished folder: claim shards, weave them, write scores and card (DESIGN 8)."""

import importlib.metadata
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
import yaml
from tqdm import tqdm

from pipelines.choices import Format
from pipelines.finish import closing_words, finish
from pipelines.hand_row import FEATURES
from pipelines.prompts import SamplePlan
from pipelines.run_folder import Rejection, RunFolder, RunPlan, Shard
from pipelines.shards import Row
from pipelines.text_to_image import TextToHandImagePipeline
from pipelines.weaving import Weaver, WeaveSettings

log = logging.getLogger(__name__)

MOST_THREADS = 8
VERSIONS = ("handloom", "torch", "diffusers", "transformers", "mediapipe", "numpy", "pyarrow", "pillow")


@dataclass(frozen=True)
class GenerationSettings:
    """Settings of a run, as `handloom generate` takes and documents them."""

    out: Path
    pipeline: str | None = None
    controlnet: str | None = None
    min_confidence: float = 0.5
    max_attempts: int = 3
    batch_size: int = 4
    shard_size: int = 256
    format: Format = "parquet"
    painting: dict[str, Any] = field(default_factory=dict)
    """Arguments of the painting that differ from the pipeline's own."""


def run_generation(settings: GenerationSettings, samples: SamplePlan) -> RunFolder:
    """Make what is missing of a run.

    Args:
        settings: how.
        samples: what.

    Raises:
        RunError: the folder cannot be used, or holds a run with other settings.
        IncompleteRunError: the disk is full.
    """
    start = time.perf_counter()
    RunFolder.refuse_foreign(settings.out)
    rank = int(os.environ.get("RANK", 0))
    if rank:
        logging.getLogger().setLevel(logging.ERROR)
    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
    threads = _threads(settings.out)
    torch.set_num_threads(threads)
    pipe = TextToHandImagePipeline.from_pretrained(settings.pipeline, **_given(controlnet=settings.controlnet))
    pipe.to(_device()).set_progress_bar_config(disable=True)
    for warning in pipe.unread([prompt.text for prompt in samples.prompts]):
        log.warning("%s", warning)
    weave_settings = WeaveSettings(
        settings.batch_size, settings.min_confidence, settings.max_attempts, pipe.fingerprint(), settings.painting
    )
    with Weaver(pipe, weave_settings) as weaver:
        config = {
            "command": "generate",
            "prompts": {"count": len(samples.prompts), "sha256": samples.fingerprint()},
            "seed": samples.run_seed,
            "control": samples.control,
            "batch_size": settings.batch_size,
            "min_confidence": settings.min_confidence,
            "max_attempts": settings.max_attempts,
            "painting": settings.painting,
            "pipeline": pipe.fingerprints(),
            "detector": weaver.detector,
            "threads": threads,
        }
        plan = RunPlan(config, len(samples), settings.shard_size, settings.format, FEATURES)
        versions = {name: importlib.metadata.version(name) for name in VERSIONS}
        run = RunFolder(settings.out, plan, {"versions": versions, "device": _device_kind()})
        _weave_shards(run, weaver, samples, first=rank)
        seconds = dict(weaver.seconds)
    with run.finishing() as mine:
        if mine:
            before = time.perf_counter()
            finish(run)
            seconds["finishing"] = time.perf_counter() - before
    seconds["in all"] = time.perf_counter() - start
    log.info("Time: %s.", ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items()))
    log.info("%s", closing_words(run))
    return run


def _weave_shards(run: RunFolder, weaver: Weaver, samples: SamplePlan, first: int) -> None:
    """Make every shard that is missing, under a progress bar on the first rank."""
    finished = {entry["start"] for entry in run.manifest()["shards"]}
    done = sum(shard.stop - shard.start for shard in run.shards if shard.start in finished)
    quiet = True if first else None  # None: no bar where nobody looks
    with tqdm(total=len(samples), initial=done, unit="image", desc="generating", disable=quiet) as bar:

        def counted(shard: Shard) -> Iterator[Row | Rejection]:
            for result in weaver.weave(samples[shard.start : shard.stop]):
                bar.update()
                yield result

        for shard in run.claim(first):
            run.write(shard, counted(shard))


def _given(**arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}


def _threads(out: Path) -> int:
    """CPU threads of the painting: as when the run began, because sums may round otherwise; else the cores at hand."""
    try:
        return int(yaml.safe_load((out / "run.yaml").read_text("utf-8"))["config"]["threads"])
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):  # no run there: its own check speaks of damage
        return min(len(os.sched_getaffinity(0)), MOST_THREADS)


def _device() -> torch.device:
    """The GPU of this rank, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    return torch.device("cpu")


def _device_kind() -> str:
    return torch.cuda.get_device_name(_device()) if torch.cuda.is_available() else "cpu"
