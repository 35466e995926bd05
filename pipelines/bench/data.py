"""`handloom bench data`: our loader beside decoding alone and beside webdataset, on the same photos in the same run.

Decoding alone reads the same folder in as many processes and turns each picture into pixels, nothing else. The goal is
that crops, augmentation and labels cost at most a tenth of it, and that memory does not grow with the records seen.
"""

from __future__ import annotations

import importlib.util
import io
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, IterableDataset

from pipelines.bench.memory import MIB, memory_of_tree
from pipelines.choices import Format
from pipelines.run_folder import RunFolder, RunPlan
from recon.data.augmentation import AugmentationConfig
from recon.data.batch import BatchConfig, HandBatch, collate
from recon.data.loader import PREFETCH, HandLoader, LoaderConfig
from recon.data.parquet_set import Lane, ParquetSet
from recon.data.record import FEATURES, SHAPES, HandRecord
from recon.files import open_image, write_json_atomic
from synth.world.world import World

GOAL = 0.9  # share of the rate of decoding alone
HANDS = 24  # different photos; decoding does not get faster by knowing them


@dataclass(frozen=True)
class DataFigures:
    """Records per second: medians over rounds in which all ways took turns."""

    records: int
    """Per way and round."""
    num_workers: int
    photo: tuple[int, int]
    """Width and height of the JPEG photos, pixels."""
    size: int
    """Side of the crops."""
    rates: dict[str, float]
    ratios: dict[str, float]
    """Median over rounds, to decoding alone."""
    cpu_ms: dict[str, float]
    """Processor time per record in one process, which other work on the machine hardly changes."""
    memory_records: int
    memory_mib: float
    """Peak of all processes over so many records."""
    memory_growth_mib: float
    """By how much the peak of the later nine tenths lies above that of the first."""


def photo_records(count: int, width: int, height: int) -> list[HandRecord]:
    """Rendered hands in JPEG photos, with all labels; `count` records go round some different ones."""
    side = min(width, height)
    world = World(0, side, "test")
    known = []
    for index in range(min(HANDS, count)):
        sample = world.render(world.scene(index))
        margin = ((0, height - side), (0, width - side), (0, 0))
        buffer = io.BytesIO()
        Image.fromarray(np.pad(sample.image, margin, mode="reflect")).save(buffer, "JPEG", quality=90)
        params, focal = sample.scene.row_params, sample.scene.focal_length
        known.append(
            HandRecord(
                image=buffer.getvalue(),
                image_id="",
                hand="0",
                dataset="bench",
                split="train",
                is_right=sample.scene.is_right,
                box=np.concatenate((sample.keypoints_2d[:, :2].min(0), sample.keypoints_2d[:, :2].max(0))),
                keypoints_2d=sample.keypoints_2d,
                intrinsics=np.array([[focal, 0, side / 2], [0, focal, side / 2], [0, 0, 1]]),
                joints=sample.joints_cam,
                betas=params.betas[0].numpy(),
                global_orient=params.global_orient_rotvec[0].numpy(),
                hand_pose=params.hand_pose_rotvec[0].numpy(),
                transl=sample.joints_cam[0],
                vertices=sample.vertices_cam,
            )
        )
    return [replace(known[i % len(known)], image_id=f"{i:06d}") for i in range(count)]


def write_records(root: Path, records: Sequence[HandRecord], fmt: Format) -> Path:
    """A finished folder of records."""
    folder = RunFolder(root, RunPlan({"made": "for a bench"}, len(records), 256, fmt, FEATURES))
    for shard in folder.claim():
        folder.write(shard, [record.row() for record in records[shard.start : shard.stop]])
    with folder.finishing():
        pass
    return root


class _Decoding(IterableDataset[int]):
    """The records of a folder read and their pictures decoded, in batches of which only the size is sent."""

    def __init__(self, source: ParquetSet, config: LoaderConfig) -> None:
        self.source, self.config = source, config

    def __iter__(self) -> Iterator[int]:
        info = torch.utils.data.get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        lane = Lane(worker, workers, self.config.seed, True, self.config.buffer // workers)
        records = self.source.stream(lane)
        while True:
            for record in itertools.islice(records, self.config.batch_size):
                np.asarray(open_image(record.image, name=record.sample_id))
            yield self.config.batch_size


def _decoding(source: ParquetSet, config: LoaderConfig) -> Iterator[int]:
    workers = config.num_workers
    prefetch = PREFETCH if workers else None
    return iter(DataLoader(_Decoding(source, config), batch_size=None, num_workers=workers, prefetch_factor=prefetch))


def _loading(source: ParquetSet, config: LoaderConfig) -> Iterator[int]:
    return (len(batch) for batch in HandLoader(source, config).batches())


class _Collate:
    """The members of a batch of a tar -> a batch of hands."""

    def __init__(self, config: LoaderConfig) -> None:
        self.config, self.generator = config.batch, torch.Generator()

    def __call__(self, samples: list[dict[str, Any]]) -> HandBatch:
        cv2.setNumThreads(1)
        records = []
        for sample in samples:
            row = json.loads(sample["json"])
            words: dict[str, Any] = {name: row[name] for name in ("image_id", "dataset", "split", "is_right")}
            arrays: dict[str, Any] = {name: row[name] and np.array(row[name], np.float32) for name in SHAPES}
            records.append(HandRecord(image=sample["image.png"], hand="0", **words, **arrays))
        return collate(records, self.config, self.generator)


def _webdataset(folder: Path, config: LoaderConfig) -> Iterator[int]:
    """The same crops and labels by webdataset, from the tars of the same records."""
    import webdataset

    tars = [str(path) for path in sorted((folder / "data").glob("*.tar"))]
    stream = webdataset.WebDataset(tars, resampled=True, shardshuffle=False).shuffle(config.buffer // 8)
    stream = stream.batched(config.batch_size, collation_fn=_Collate(config))
    workers = config.num_workers
    loader = DataLoader(stream, batch_size=None, num_workers=workers, prefetch_factor=PREFETCH if workers else None)
    return (len(batch) for batch in loader)


def _rate(batches: Iterator[int], records: int, warm_up: int) -> tuple[float, float]:
    """Records per second of the clock, and milliseconds of this process's processor time per record."""
    seen = 0
    for _ in range(warm_up):
        next(batches)
    start, cpu_start = time.perf_counter(), time.process_time()
    while seen < records:
        seen += next(batches)
    return seen / (time.perf_counter() - start), 1000 * (time.process_time() - cpu_start) / seen


def _memory(source: ParquetSet, config: LoaderConfig, records: int) -> tuple[float, float]:
    """Peak MiB of all processes, and by how much that of the later nine tenths is above that of the first."""
    early = late = seen = 0
    last = 0.0
    for count in _loading(source, config):
        seen += count
        if time.perf_counter() - last > 0.5 or seen >= records:
            last, now = time.perf_counter(), memory_of_tree(os.getpid())
            early, late = (max(early, now), late) if seen <= records / 10 else (early, max(late, now))
        if seen >= records:
            break
    return max(early, late) / MIB, (late - early) / MIB if early else 0.0


def measure_data(
    records: int, num_workers: int, photo: tuple[int, int], size: int, rounds: int, memory_records: int
) -> DataFigures:
    """All ways in turns, then the memory; arguments as of `data`."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(prefix="handloom-bench-") as folder:
        rows = photo_records(512, *photo)
        source = ParquetSet(write_records(Path(folder) / "parquet", rows, "parquet"))
        config = LoaderConfig(
            32, BatchConfig(size, augmentation=AugmentationConfig()), num_workers=num_workers, buffer=512
        )
        plain = replace(config, batch=BatchConfig(size))
        ways: dict[str, Callable[[LoaderConfig], Iterator[int]]] = {
            "decoding alone": lambda how: _decoding(source, how),
            "our loader, augmented": lambda how: _loading(source, replace(config, num_workers=how.num_workers)),
            "our loader, crops only": lambda how: _loading(source, replace(plain, num_workers=how.num_workers)),
        }
        if importlib.util.find_spec("webdataset"):
            tars = write_records(Path(folder) / "tars", rows, "webdataset")
            ways["webdataset, augmented"] = lambda how: _webdataset(tars, how)
        rates: dict[str, list[float]] = {name: [] for name in ways}
        cpu: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                warm_up = 1 + PREFETCH * num_workers
                rates[name].append(_rate(way(config), records, warm_up)[0])
                cpu[name].append(_rate(way(replace(config, num_workers=0)), records // 2, 1)[1])
        peak, growth = _memory(source, config, memory_records) if memory_records else (0.0, 0.0)
    base = rates["decoding alone"]
    return DataFigures(
        records=records,
        num_workers=num_workers,
        photo=photo,
        size=size,
        rates={name: statistics.median(values) for name, values in rates.items()},
        ratios={name: float(np.median(np.divide(values, base))) for name, values in rates.items()},
        cpu_ms={name: statistics.median(values) for name, values in cpu.items()},
        memory_records=memory_records,
        memory_mib=peak,
        memory_growth_mib=growth,
    )


def data(
    *,
    records: int = 2000,
    num_workers: int = 2,
    width: int = 640,
    height: int = 480,
    size: int = 256,
    rounds: int = 3,
    memory_records: int = 100_000,
    out: Path | None = None,
) -> None:
    """Compare the training loader with decoding alone and with webdataset, and watch its memory.

    Args:
        records: per way and round.
        num_workers: processes of each way.
        width: of the JPEG photos, pixels; 640 x 480 is what HO-3D and DexYCB have.
        height: of the photos.
        size: side of the crops, pixels.
        rounds: of which medians are taken.
        memory_records: records of the run whose memory is watched, by going round a small folder; 0 leaves it out.
        out: JSON file for the figures.

    Raises:
        ValueError: if a number is too small.
    """
    least = {"records": 2, "num_workers": 0, "width": 64, "height": 64, "size": 2, "rounds": 1, "memory_records": 0}
    for name, bound in least.items():
        if locals()[name] < bound:
            raise ValueError(f"--{name.replace('_', '-')} is {locals()[name]}; it must be at least {bound}.")
    figures = measure_data(records, num_workers, (width, height), size, rounds, memory_records)
    table = Table(title=f"JPEG {width} x {height} -> {size} x {size}, {num_workers} workers, goal {GOAL:.0%}")
    for heading in ("way", "records/s", "of decoding", "processor ms/record", "of decoding"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    base = figures.cpu_ms["decoding alone"]
    for name, rate in figures.rates.items():
        ratio, spent = figures.ratios[name], figures.cpu_ms[name]
        table.add_row(name, f"{rate:,.0f}", f"{ratio:.0%}", f"{spent:.2f}", f"{base / spent:.0%}")
    if "webdataset, augmented" not in figures.rates:
        table.add_row("webdataset, augmented", "not installed", "", "", "")
    console = Console()
    console.print(table)
    if memory_records:
        peak, growth = figures.memory_mib, figures.memory_growth_mib
        console.print(f"Peak memory over {memory_records:,} records: {peak:,.0f} MiB, growth {growth:+,.0f} MiB.")
    if out is not None:
        write_json_atomic(out, asdict(figures))
