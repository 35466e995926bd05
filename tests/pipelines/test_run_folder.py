"""A run folder: same bytes however often it is stopped, damage found, foreign folders and other settings refused."""

import hashlib
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Features, Image, List, Value

from pipelines.run_folder import IncompleteRunError, Rejection, RunError, RunFolder, RunPlan, Shard
from pipelines.shards import png_bytes

FEATURES = Features(
    {
        "sample_id": Value("string"),
        "image": Image(),
        "control": Image(),
        "seed": Value("int64"),
        "joints": List(List(Value("float32"))),
        "detection": {"score": Value("float32"), "found": Value("bool")},
        "note": Value("string"),
    }
)


def plan(num_samples: int = 10, fmt: Any = "parquet", shard_size: int = 4, **config: Any) -> RunPlan:
    return RunPlan({"seed": 3, **config}, num_samples, shard_size, fmt, FEATURES)


def samples(shard: Shard) -> Iterator[dict[str, Any] | Rejection]:
    for index in range(shard.start, shard.stop):
        if index == 5:
            yield Rejection(index, "no hand found", {"prompt": "ä fist"})
            continue
        rng = np.random.default_rng(index)
        yield {
            "sample_id": f"{index:06d}",
            "image": rng.integers(0, 255, (16, 16, 3), np.uint8),
            "control": png_bytes(rng.integers(0, 255, (16, 16, 3), np.uint8)),
            "seed": np.int64(2**62 + index),
            "joints": rng.normal(size=(2, 3)).astype(np.float32),
            "detection": {"score": np.float32(0.25), "found": True},
            "note": "手 « ok » \u2028 \n line" if index % 2 else None,
        }


def work(path: Path, run_plan: RunPlan, limit: int = 99) -> RunFolder:
    run = RunFolder(path, run_plan)
    for count, shard in enumerate(run.claim()):
        if count == limit:
            return run
        run.write(shard, samples(shard))
    with run.finishing() as mine:
        if mine:
            (path / "README.md").write_text("done")
    return run


def digest(path: Path) -> dict[str, str]:
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.parametrize("fmt", ["parquet", "webdataset", "imagefolder"])
def test_same_bytes_stopped_damaged_or_whole(tmp_path: Path, fmt: str) -> None:
    work(tmp_path / "a", plan(fmt=fmt))
    whole = digest(tmp_path / "a")
    work(tmp_path / "b", plan(fmt=fmt), limit=1)
    assert len(RunFolder(tmp_path / "b", plan(fmt=fmt)).manifest()["shards"]) == 1
    run = work(tmp_path / "b", plan(fmt=fmt))
    assert digest(tmp_path / "b") == whole
    shard_file = next(file for file in sorted((tmp_path / "b/data").rglob("*")) if file.is_file())
    original = shard_file.read_bytes()
    for damaged in (original[:-7], bytes([original[0] ^ 1]) + original[1:], None):
        shard_file.unlink() if damaged is None else shard_file.write_bytes(damaged)
        assert not run.is_whole(run.shards[0])
        work(tmp_path / "b", plan(fmt=fmt))
        assert digest(tmp_path / "b") == whole


@pytest.mark.parametrize("fmt", ["parquet", "webdataset", "imagefolder"])
def test_rows_come_back(tmp_path: Path, fmt: str) -> None:
    run = work(tmp_path / "a", plan(fmt=fmt))
    rows = list(run.rows(["sample_id", "image", "control", "joints", "seed", "note", "detection"]))
    wanted = [row for shard in run.shards for row in samples(shard) if not isinstance(row, Rejection)]
    assert [row["sample_id"] for row in rows] == [row["sample_id"] for row in wanted] and len(rows) == 9
    for row, want in zip(rows, wanted, strict=True):
        assert row["image"] == png_bytes(want["image"]) and row["control"] == want["control"]
        assert row["seed"] == want["seed"] and row["note"] == want["note"]
        np.testing.assert_array_equal(np.float32(row["joints"]), want["joints"])
        assert row["detection"] == {"score": 0.25, "found": True}
    assert run.rejected() == [{"index": 5, "reason": "no hand found", "prompt": "ä fist"}]
    assert run.manifest()["complete"] and run.manifest()["rejected"] == 1


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    work(tmp_path / "a", plan())
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")}
    run = RunFolder(tmp_path / "a", plan())
    assert list(run.claim()) == []
    with run.finishing() as mine:
        assert not mine
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")} == before


def test_other_settings_and_foreign_folders_are_refused(tmp_path: Path) -> None:
    work(tmp_path / "a", plan(guidance=2.5), limit=1)
    before = digest(tmp_path / "a")
    with pytest.raises(RunError, match=r"guidance was 2\.5, now 3"):
        RunFolder(tmp_path / "a", plan(guidance=3))
    with pytest.raises(RunError, match="num_samples was 10, now 11"):
        RunFolder(tmp_path / "a", plan(11, guidance=2.5))
    assert digest(tmp_path / "a") == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(RunError, match="thesis.txt"):
        RunFolder(tmp_path / "mine", plan())
    assert digest(tmp_path / "mine").keys() == {"thesis.txt"}
    with pytest.raises(RunError, match="is a file"):
        RunFolder(tmp_path / "mine" / "thesis.txt", plan())
    with pytest.raises(RunError, match="num samples is 0"):
        RunFolder(tmp_path / "new", plan(0))
    assert not (tmp_path / "new").exists()
    (tmp_path / "a" / "run.yaml").write_text("config: [")
    with pytest.raises(RunError, match="damaged"):
        RunFolder(tmp_path / "a", plan(guidance=2.5))


def test_wrong_columns_are_named(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "a", plan())
    with pytest.raises(ValueError, match="note"):
        run.write(run.shards[0], [{k: v for k, v in next(samples(run.shards[0])).items() if k != "note"}])


def test_full_disk_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    work(tmp_path / "a", plan())
    size = (tmp_path / "a" / RunFolder(tmp_path / "a", plan()).shards[0].file).stat().st_size
    run = RunFolder(tmp_path / "b", plan())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - 100, hard))
        with pytest.raises(IncompleteRunError, match="disk .* is full: 0 of 3 shards .* same command"):
            run.write(run.shards[0], samples(run.shards[0]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert list((tmp_path / "b/data").iterdir()) == [] and run.manifest()["shards"] == []
    work(tmp_path / "b", plan())
    assert digest(tmp_path / "b") == digest(tmp_path / "a")


SLOW_RUN = """
    import sys, time
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    import test_run_folder as t
    run = t.RunFolder(Path(sys.argv[1]), t.plan(40))
    for shard in run.claim(int(sys.argv[2])):
        time.sleep(float(sys.argv[3]))
        run.write(shard, t.samples(shard))
    with run.finishing() as mine:
        if mine:
            (run.path / "README.md").write_text("done")
"""


def start(path: Path, first: int, pause: float) -> subprocess.Popen[bytes]:
    code = textwrap.dedent(SLOW_RUN).format(tests=str(Path(__file__).parent))
    return subprocess.Popen([sys.executable, "-c", code, str(path), str(first), str(pause)], env={**os.environ})


def test_two_processes_and_a_killed_one_write_the_same_bytes(tmp_path: Path) -> None:
    work(tmp_path / "one", plan(40))
    both = [start(tmp_path / "two", first, 0.02) for first in (0, 5)]
    doomed = start(tmp_path / "two", 2, 60)
    deadline = time.monotonic() + 60
    manifest = tmp_path / "two" / "manifest.json"
    while not (manifest.exists() and len(RunFolder(tmp_path / "two", plan(40)).manifest()["shards"]) >= 5):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    doomed.kill()
    assert [process.wait(60) for process in both] == [0, 0]
    assert digest(tmp_path / "two") == digest(tmp_path / "one")
