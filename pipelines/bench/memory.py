"""`handloom bench memory`: peak memory of a generation run, and that it does not grow with the number of images.

Runs of different length are started one after the other, each in a process of its own; the memory of that process and
of all it starts is read from /proc, shared pages counted once (proportional set size).
"""

import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

MIB, GIB = 1 << 20, 1 << 30
INTERVAL = 0.05  # seconds between two looks
PROMPTS = (
    "an open left hand seen from the back",
    "a right hand making the victory sign",
    "a fist",
    "the letter L in sign language",
)


class BenchError(ValueError):
    """A run that cannot be measured; the message is one sentence for the user."""


@dataclass(frozen=True)
class MemoryRun:
    """One measured run.

    Attributes:
        num_images: its length.
        peak: largest memory of all its processes together, bytes.
        seconds: how long it took.
    """

    num_images: int
    peak: int
    seconds: float


def _parents() -> dict[int, int]:
    """Process id -> its parent's, of all processes that can be seen."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name in brackets may hold anything; what follows the last bracket is state, parent, ...
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue  # it ended while we looked
    return parents


def memory_of_tree(root: int) -> int:
    """Bytes held now by a process and all its descendants; pages they share count once. 0 when it is gone."""
    parents, tree, total = _parents(), {root}, 0
    grown = True
    while grown:
        more = {child for child, parent in parents.items() if parent in tree} - tree
        tree |= more
        grown = bool(more)
    for process in tree:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
        except (OSError, StopIteration):
            continue
    return total


def peak_memory(command: Sequence[str]) -> tuple[int, float]:
    """Run a command to its end and watch the memory of its processes.

    Args:
        command: program and arguments; its output is not shown.

    Returns:
        peak in bytes, seconds.

    Raises:
        BenchError: the command failed (its last line of complaint is in the message), or this system has no /proc.
    """
    if not Path("/proc/self/smaps_rollup").exists():
        raise BenchError("This system does not tell the memory of processes (no /proc/self/smaps_rollup).")
    start, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                peak = max(peak, memory_of_tree(process.pid))
                time.sleep(INTERVAL)
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            said.seek(0)
            last = (said.read().decode(errors="replace").strip().splitlines() or [""])[-1]
            raise BenchError(f"The run to measure ended with exit code {process.returncode}: {last.removesuffix('.')}.")
    return peak, time.perf_counter() - start


def report(runs: Sequence[MemoryRun], limit_gib: float, growth_mib: float) -> tuple[str, bool]:
    """A Markdown table of the runs with the verdict, and whether they keep within the limits.

    Args:
        runs: at least two, from short to long.
        limit_gib: no run may hold more.
        growth_mib: the longest may hold this much more than the shortest (garbage waits to be collected).
    """
    lines = ["| images | peak memory | seconds |", "|---|---|---|"]
    lines += [f"| {run.num_images} | {run.peak / GIB:.2f} GiB | {run.seconds:.0f} |" for run in runs]
    most, growth = max(run.peak for run in runs) / GIB, (runs[-1].peak - runs[0].peak) / MIB
    fine = most <= limit_gib and growth <= growth_mib
    verdict = f"Peak {most:.2f} GiB of at most {limit_gib:g}; growth {growth:+.0f} MiB of at most {growth_mib:g}"
    return "\n".join([*lines, "", f"{verdict}: {'kept' if fine else 'NOT KEPT'}."]), fine


def memory(
    *,
    num_images: list[int] | None = None,
    pipeline: str | None = None,
    batch_size: int = 4,
    shard_size: int = 8,
    limit_gib: float = 4.0,
    growth_mib: float = 200.0,
) -> int:
    """Peak memory of `handloom generate` at several lengths; exit code 1 when a limit is broken.

    Args:
        num_images: lengths of the runs, from short to long; 8 and 32 by default.
        pipeline: folder or hub id of the models; by default those that ship.
        batch_size: pictures painted at once.
        shard_size: samples per file; a shard's rows are held until it is written, so it is the same in all runs.
        limit_gib: largest peak that is allowed.
        growth_mib: largest growth from the first to the last run that is allowed.
    """
    lengths = num_images or [8, 32]
    if len(lengths) < 2 or sorted(set(lengths)) != lengths or lengths[0] < 1:
        raise BenchError(f"--num-images is {lengths}; allowed are two or more rising whole numbers from 1.")
    runs = []
    with tempfile.TemporaryDirectory(prefix="handloom-bench-") as folder:
        prompts = Path(folder) / "prompts.txt"
        prompts.write_text("\n".join(PROMPTS) + "\n")
        for length in lengths:
            flags = {
                "prompts": prompts,
                "num-images": length,
                "batch-size": batch_size,
                "shard-size": shard_size,
                "out": Path(folder) / f"run-{length}",
            }
            command = [sys.executable, "-m", "pipelines.cli", "generate"]
            command += [word for name, value in flags.items() for word in (f"--{name}", str(value))]
            command += ["--pipeline", pipeline] if pipeline else []
            runs.append(MemoryRun(length, *peak_memory(command)))
            logger.info("%d images: peak %.2f GiB, %.0f s", length, runs[-1].peak / GIB, runs[-1].seconds)
    text, fine = report(runs, limit_gib, growth_mib)
    logger.info("%s", text)
    return 0 if fine else 1
