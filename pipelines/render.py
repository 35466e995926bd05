"""`handloom render`: a data set from the rendered world, sharded and resumable (DESIGN sections 5 and 8)."""

import logging
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from pipelines.card import card_text
from pipelines.choices import Format
from pipelines.report import decode
from pipelines.run_folder import RunFolder, RunPlan
from pipelines.shards import png_bytes
from recon.files import write_atomic
from synth.render.sheet import contact_sheet
from synth.world.dataset import COLUMNS, FEATURES, IMAGE_COLUMNS, world_row
from synth.world.surface import rest_hand
from synth.world.world import World

log = logging.getLogger(__name__)

SHOWN = 36
SUMMARY = (
    "Hands rendered from a procedural world: every label is exact, every caption is measured on the mesh. "
    "No picture was filtered by a detector."
)
_world: World | None = None


def render(
    *,
    num_images: int,
    out: Path,
    size: int = 256,
    seed: int = 0,
    split: Literal["train", "validation", "test"] = "train",
    num_workers: int = 2,
    shard_size: int = 500,
    format: Format = "parquet",  # noqa: A002
    backgrounds: Path | None = None,
) -> int | None:
    """Write a labelled data set from the rendered world.

    Given again, the same command verifies what is there and makes only what is missing.

    Args:
        num_images: how many pictures.
        out: the folder to write.
        size: side of the pictures in pixels.
        seed: another seed is another world.
        split: splits never share a scene.
        num_workers: processes that draw; any number gives the same bytes.
        shard_size: pictures per shard.
        format: how shards are written.
        backgrounds: a folder of photos to put behind half of the hands.
    """
    if num_workers < 1:
        raise ValueError(f"--num-workers is {num_workers}; at least 1 process must draw.")
    world = World(seed, size, split, backgrounds)
    photos = [path.name for path in world.photos]
    config = {"kind": "world", "size": size, "seed": seed, "split": split, "photos": photos}
    plan = RunPlan(config, num_images, shard_size, format, FEATURES, split)
    provenance = {"hand": rest_hand().model.fingerprint, "handloom": version("handloom"), "numpy": version("numpy")}
    run = RunFolder(out, plan, provenance)
    with drawing(world, num_workers) as rows, tqdm(total=num_images, unit="image", disable=None) as bar:
        for shard in run.claim():
            run.write(shard, (_counted(row, bar) for row in rows(range(shard.start, shard.stop))))
    with run.finishing() as todo:
        if todo:
            _finish(run)
    log.info("%s holds %d pictures; open %s.", out, num_images, out / "contact_sheet.png")
    return None


@contextmanager
def drawing(world: World, num_workers: int) -> Iterator[Any]:
    """A function from indices to their rows in order, drawn by `num_workers` processes of one thread each."""
    if num_workers == 1:
        _start(world)
        yield lambda indices: map(_draw, indices)
        return
    context = multiprocessing.get_context("spawn")
    quiet = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")}
    kept = {name: os.environ.get(name) for name in quiet}
    os.environ.update(quiet)
    try:
        pool = context.Pool(num_workers, _start, (world,))
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    with pool:
        yield lambda indices: pool.imap(_draw, indices, chunksize=4)


def _start(world: World) -> None:
    import torch

    global _world
    _world = world
    torch.set_num_threads(1)


def _draw(index: int) -> dict[str, Any]:
    if _world is None:
        raise RuntimeError("a drawing process was asked for a picture before it had a world")
    row = world_row(_world.render(_world.scene(index)))
    return {**row, **{name: png_bytes(row[name]) for name in IMAGE_COLUMNS}}


def _counted(row: dict[str, Any], bar: tqdm) -> dict[str, Any]:
    bar.update()
    return row


def _finish(run: RunFolder) -> None:
    """The contact sheet and the card."""
    images: list[np.ndarray] = []
    captions: list[str] = []
    for row in run.rows(["image", "captions"]):
        images.append(decode(row["image"], f"{run.path}, picture {len(images)}"))
        captions.append(row["captions"][2])
        if len(images) == SHOWN:
            break
    sheet = contact_sheet(images, captions, tile=192)
    write_atomic(run.path / "contact_sheet.png", png_bytes(sheet))
    sections = {"Settings": "\n".join(f"- {key}: {value}" for key, value in run.plan.resolved().items())}
    write_atomic(run.path / "README.md", card_text(run, "Rendered hands", SUMMARY, COLUMNS, sections).encode())
