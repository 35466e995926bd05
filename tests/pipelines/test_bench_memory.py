"""The memory bench: real processes of known size, and its verdict."""

import os
import sys
import time

import pytest

from pipelines.bench.memory import GIB, MIB, BenchError, MemoryRun, memory, memory_of_tree, peak_memory, report

HOLD = "import time; held = bytearray({size}); time.sleep(0.6)"
CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"


def test_the_peak_is_what_a_process_holds():
    small, _ = peak_memory([sys.executable, "-c", HOLD.format(size=0)])
    large, seconds = peak_memory([sys.executable, "-c", HOLD.format(size=100 * MIB)])
    assert 0 < small < 60 * MIB
    assert abs(large - small - 100 * MIB) < 10 * MIB
    assert seconds > 0.5


def test_what_it_starts_counts_too():
    peak, _ = peak_memory([sys.executable, "-c", CHILD.format(code=HOLD.format(size=100 * MIB))])
    assert peak > 100 * MIB


def test_a_failed_run_is_an_error():
    with pytest.raises(BenchError, match="exit code 3: sorry"):
        peak_memory([sys.executable, "-c", "import sys; print('sorry'); sys.exit(3)"])


def test_this_process_and_one_that_is_gone():
    assert memory_of_tree(os.getpid()) > 10 * MIB
    process = os.fork()
    if not process:
        os._exit(0)
    os.waitpid(process, 0)
    time.sleep(0.01)
    assert memory_of_tree(process) == 0


@pytest.mark.parametrize(
    "peaks, fine", [((1.0, 1.05), True), ((1.0, 0.9), True), ((1.0, 1.5), False), ((4.1, 4.1), False)]
)
def test_verdict(peaks, fine):
    text, verdict = report([MemoryRun(n, int(p * GIB), 1.0) for n, p in zip((8, 32), peaks, strict=True)], 4.0, 200.0)
    assert verdict is fine
    assert ("NOT KEPT" in text) is not fine


@pytest.mark.parametrize("lengths", [[8], [8, 8], [32, 8], [0, 8]])
def test_lengths_that_say_nothing(lengths):
    with pytest.raises(BenchError, match="rising"):
        memory(num_images=lengths)
