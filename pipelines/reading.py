"""Pictures of a reader read by several processes of one thread each, and given back in order.

Only so many pictures are read ahead that memory stays flat; which process read a picture never shows.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

from pipelines.run_folder import IncompleteRunError
from recon.data.reader import Reader
from recon.data.record import Frame
from recon.files import FileError

CHUNK = 4
"""Pictures that a process is given at a time."""
AHEAD = 3
"""Chunks per process that are under way or wait to be taken."""
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_reader: Reader | None = None


@dataclass(frozen=True)
class Reading:
    """What came of one picture."""

    index: int
    file: str
    frame: Frame | None
    damage: str = ""
    """Why there is no frame: one sentence."""


def read_picture(reader: Reader, index: int) -> Reading:
    """Picture `index`, or what is wrong with it.

    Raises:
        IncompleteRunError: the whole data set is gone, which is no damage of one picture.
    """
    file = reader.file(index)
    try:
        return Reading(index, file, reader.read(index))
    except FileError as error:
        if not reader.root.exists():
            raise IncompleteRunError(
                f"{reader.root} is gone; bring it back and give the same command again to go on."
            ) from error
        return Reading(index, file, None, str(error))


@contextmanager
def reading(reader: Reader, num_workers: int) -> Iterator[Callable[[range], Iterator[Reading]]]:
    """A function from indices to their readings in order; with one worker, in this process.

    Raises:
        IncompleteRunError: while reading: the data set vanished, or a process was killed.
    """
    if num_workers == 1:
        yield lambda indices: (read_picture(reader, index) for index in indices)
        return
    kept = {name: os.environ.get(name) for name in ONE_THREAD}
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_workers, mp_context=context, initializer=_start, initargs=(reader,))
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        yield lambda indices: _in_order(pool, indices, num_workers * AHEAD)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _in_order(pool: ProcessPoolExecutor, indices: range, ahead: int) -> Iterator[Reading]:
    """Readings of chunks, at most `ahead` of which are under way."""
    waiting: deque[Future[list[Reading]]] = deque()
    try:
        for start in range(0, len(indices), CHUNK):
            waiting.append(pool.submit(_read_chunk, indices[start : start + CHUNK]))
            if len(waiting) == ahead:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool as error:
        raise IncompleteRunError(
            "A process that read pictures was killed (out of memory, perhaps); give the same command again to go on."
        ) from error


def _start(reader: Reader) -> None:
    global _reader
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its processes
    _reader = reader


def _read_chunk(indices: range) -> list[Reading]:
    if _reader is None:
        raise RuntimeError("a reading process was asked for pictures before it had a reader")
    return [read_picture(_reader, index) for index in indices]
