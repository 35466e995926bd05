"""Batches of hands from folders of records: workers read, decode, cut and augment; their number changes no batch.

Lanes are streams of whole batches, and batch b comes from lane b mod lanes; a worker serves some of the lanes. So batch
b is a function of (seed, rank, b), a run goes on at any batch, and memory is that of the lanes' windows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from recon.data.batch import BatchConfig, HandBatch, collate
from recon.data.mixture import Mixture
from recon.data.parquet_set import Lane, ParquetSet
from recon.data.record import HandRecord

PREFETCH = 2


@dataclass(frozen=True)
class LoaderConfig:
    """How records are streamed.

    Attributes:
        batch_size: hands in a batch of one rank.
        batch: how records become crops.
        shuffle: in a random order; else in that of the folder, for evaluation.
        seed: of the order and of the augmentation.
        num_workers: processes that read and decode; 0 does it in this one.
        lanes: streams of a rank, each shuffled on its own; at most so many workers have work.
        buffer: records in memory over all lanes of a rank, from which a batch is drawn.
        rank: of this process.
        ranks: processes that share the data.
    """

    batch_size: int = 48
    batch: BatchConfig = field(default_factory=BatchConfig)
    shuffle: bool = True
    seed: int = 0
    num_workers: int = 2
    lanes: int = 8
    buffer: int = 4096
    rank: int = 0
    ranks: int = 1

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        for name, least in (("batch_size", 1), ("num_workers", 0), ("lanes", 1), ("buffer", 1), ("ranks", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}.")
        if not 0 <= self.rank < self.ranks:
            raise ValueError(f"rank is {self.rank} of {self.ranks}; it must be at least 0 and below.")


class HandLoader:
    """An endless stream of batches for training, or one pass over a folder for evaluation."""

    def __init__(self, source: Mixture | ParquetSet | Path, config: LoaderConfig | None = None) -> None:
        """Plan the stream.

        Args:
            source: a mixture, or one folder of records.
            config: batches, order and workers.

        Raises:
            FileError: a folder is not finished, or holds fewer records than there are ranks.
        """
        self.source = ParquetSet(source) if isinstance(source, Path) else source
        self.config = config or LoaderConfig()
        self.lanes = max(1, min(self.config.lanes, self.source.rows // self.config.ranks))

    def lane(self, index: int) -> Lane:
        """Lane `index` of this rank."""
        config = self.config
        return Lane(
            index=config.rank * self.lanes + index,
            count=config.ranks * self.lanes,
            seed=config.seed,
            shuffle=config.shuffle,
            window=config.buffer // self.lanes,
        )

    def batches(self, start: int = 0) -> Iterator[HandBatch]:
        """Batches without end, from batch `start` on."""
        return self._run(_Steps(self, start))

    def one_pass(self) -> Iterator[HandBatch]:
        """Every record of this rank once; the last batch of a lane may be smaller.

        Raises:
            ValueError: of a mixture, which has no end.
        """
        if isinstance(self.source, Mixture):
            raise ValueError("a mixture has no end; go over its folders one by one.")
        return self._run(_Steps(self, 0, once=True))

    def _run(self, steps: _Steps) -> Iterator[HandBatch]:
        workers = min(self.config.num_workers, self.lanes)
        if not workers:
            yield from steps.made(range(self.lanes))
            return
        # A loader would draw its worker's seed from the global generator unless it has its own.
        shares = [
            iter(
                DataLoader(
                    _Share(steps, range(first, self.lanes, workers)),
                    batch_size=None,
                    num_workers=1,
                    prefetch_factor=PREFETCH,
                    multiprocessing_context="spawn",  # threads of OpenCV and Arrow do not survive a fork
                    generator=torch.Generator(),
                )
            )
            for first in range(workers)
        ]
        for lane, _ in steps.order():
            yield next(shares[lane % workers])


@dataclass(frozen=True)
class _Steps:
    """Which lane makes which of its batches, one after the other."""

    loader: HandLoader
    start: int
    once: bool = False

    def order(self) -> Iterator[tuple[int, int]]:
        """Lane and the number of its batch."""
        lanes, size = self.loader.lanes, self.loader.config.batch_size
        if not self.once:
            yield from ((number % lanes, number // lanes) for number in itertools.count(self.start))
            return
        source = self.loader.source
        assert isinstance(source, ParquetSet)
        ends = [math.ceil(source.rows_of(self.loader.lane(lane)) / size) for lane in range(lanes)]
        yield from ((lane, turn) for turn in range(max(ends)) for lane in range(lanes) if turn < ends[lane])

    def made(self, lanes: range) -> Iterator[HandBatch]:
        """The batches of some lanes."""
        streams: dict[int, Iterator[HandRecord]] = {}
        config = self.loader.config
        for index, turn in self.order():
            if index not in lanes:
                continue
            lane = self.loader.lane(index)
            if index not in streams:
                streams[index] = self._records(lane, turn * config.batch_size)
            records = list(itertools.islice(streams[index], config.batch_size))
            state = np.random.SeedSequence([config.seed, lane.index, turn]).generate_state(1, np.uint64)
            yield collate(records, config.batch, torch.Generator().manual_seed(int(state[0] >> np.uint64(1))))

    def _records(self, lane: Lane, start: int) -> Iterator[HandRecord]:
        source = self.loader.source
        if isinstance(source, Mixture):
            return source.stream(lane, start)
        return source.stream(lane, start, 1 if self.once else None)


class _Share(IterableDataset[HandBatch]):
    """The batches of some lanes, made by one worker on one thread."""

    def __init__(self, steps: _Steps, lanes: range) -> None:
        self.steps, self.lanes = steps, lanes

    def __iter__(self) -> Iterator[HandBatch]:
        cv2.setNumThreads(1)
        return self.steps.made(self.lanes)
