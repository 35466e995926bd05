"""`handloom generate` with tiny models: the same bytes however it is run, mistakes in one sentence."""

import hashlib
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

from pipelines import cli
from tests.factories import SIZE, save_tiny_pipeline

PROMPTS = "a left hand making a fist\n\n握拳\nopen palm facing the camera\n"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_pipeline(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    path.write_text(PROMPTS)
    return path


def arguments(pipeline: Path, prompts: Path, out: Path, /, **flags: Any) -> list[str]:
    settings = {
        "prompts": prompts,
        "pipeline": pipeline,
        "out": out,
        "num-images": 7,
        "batch-size": 2,
        "shard-size": 3,
        "min-confidence": 0,
        "num-inference-steps": 2,
        "control": "mesh+pose",
        **{name.replace("_", "-"): value for name, value in flags.items()},
    }
    return ["generate", *(word for name, value in settings.items() for word in (f"--{name}", str(value)))]


def digest(folder: Path) -> dict[str, str]:
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def finished(pipeline: Path, prompts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "finished"
    assert cli.run(arguments(pipeline, prompts, out)) == 0
    return out


def test_what_a_run_leaves(finished: Path) -> None:
    names = {file.name for file in finished.iterdir()} - {".lock"}
    assert names == {
        "data",
        "README.md",
        "manifest.json",
        "rejected.jsonl",
        "scores.json",
        "report.html",
        "contact_sheet.png",
        "run.yaml",
    }
    assert json.loads((finished / "manifest.json").read_text())["complete"]
    report = (finished / "report.html").read_text()
    assert "握拳" in report and "data:image/jpeg" in report and "http" not in report


def test_load_dataset_reads_it(finished: Path, tmp_path: Path) -> None:
    rows = load_dataset(str(finished), cache_dir=str(tmp_path))["train"]
    manifest = json.loads((finished / "manifest.json").read_text())
    assert len(rows) == manifest["rows"] > 0
    for row in rows:
        index = int(row["sample_id"])
        assert row["prompt"] == PROMPTS.replace("\n\n", "\n").splitlines()[index % 3]
        assert row["image"].size == row["control"].size == (SIZE, SIZE)
        assert row["caption"].startswith(row["prompt"]) and ("right" if row["is_right"] else "left") in row["caption"]
        assert (len(row["betas"]), len(row["hand_pose"]), len(row["joints"]), len(row["keypoints_2d"])) == (
            10,
            45,
            21,
            21,
        )
        for (x, y, _), (jx, jy, jz) in zip(row["keypoints_2d"], row["joints"], strict=True):
            assert abs(row["focal_length"] * jx / jz + SIZE / 2 - x) < 1e-2
            assert abs(row["focal_length"] * jy / jz + SIZE / 2 - y) < 1e-2
    assert len({row["seed"] for row in rows}) == len(rows)


def test_a_finished_run_is_a_no_op(finished: Path, pipeline: Path, prompts: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in finished.rglob("*")}
    assert cli.run(arguments(pipeline, prompts, finished)) == 0
    assert {file: file.stat().st_mtime_ns for file in finished.rglob("*")} == before


@pytest.mark.slow
def test_killed_and_resumed_gives_the_same_bytes(finished: Path, pipeline: Path, prompts: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipelines.cli", *arguments(pipeline, prompts, tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not list((tmp_path / "run").glob("data/train*")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert cli.run(arguments(pipeline, prompts, tmp_path / "run")) == 0
    assert digest(tmp_path / "run") == digest(finished)


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(finished: Path, pipeline: Path, prompts: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipelines.cli", *arguments(pipeline, prompts, tmp_path / "run")]
    ranks = [
        subprocess.Popen(command, env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"})
        for rank in range(2)
    ]
    assert [rank.wait(240) for rank in ranks] == [0, 0]
    assert digest(tmp_path / "run") == digest(finished)


@pytest.mark.parametrize("fmt", ["webdataset", "imagefolder"])
def test_other_formats_load_too(pipeline: Path, prompts: Path, tmp_path: Path, fmt: str) -> None:
    assert cli.run(arguments(pipeline, prompts, tmp_path / "run", format=fmt, num_images=3, control="pose")) == 0
    rows = load_dataset(str(tmp_path / "run"), cache_dir=str(tmp_path / "cache"))["train"]
    assert len(rows) == json.loads((tmp_path / "run/manifest.json").read_text())["rows"]
    picture = rows[0]["image"] if fmt == "imagefolder" else rows[0]["image.png"]
    assert picture.size == (SIZE, SIZE)


def test_pictures_without_hands_are_rejected_and_said(
    pipeline: Path, prompts: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        flags = arguments(pipeline, prompts, tmp_path / "run", min_confidence=0.5, max_attempts=2, num_images=3)
        assert cli.run(flags) == 0
    rejected = [json.loads(line) for line in (tmp_path / "run/rejected.jsonl").read_text().splitlines()]
    assert [line["index"] for line in rejected] == [0, 1, 2]
    assert {line["reason"] for line in rejected} <= {"no hand found", "the sampled hand lies outside the picture"}
    assert all(line["attempts"] == 2 for line in rejected)
    assert json.loads((tmp_path / "run/manifest.json").read_text())["complete"]
    assert "3 sample(s) were given up" in caplog.text and "--min-confidence" in caplog.text


def test_a_full_disk_stops_in_one_sentence_and_nothing_is_lost(
    finished: Path, pipeline: Path, prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = min(file.stat().st_size for file in (finished / "data").iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, hard))
        code = cli.run(arguments(pipeline, prompts, tmp_path / "run"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    message = capsys.readouterr().err.splitlines()[-1]
    assert code == 1 and "is full" in message and "same command again" in message
    assert not list((tmp_path / "run/data").iterdir())
    assert cli.run(arguments(pipeline, prompts, tmp_path / "run")) == 0
    assert digest(tmp_path / "run") == digest(finished)
    first, second, _ = sorted((tmp_path / "run/data").iterdir())
    first.write_bytes(first.read_bytes()[:-9])
    second.unlink()
    assert cli.run(arguments(pipeline, prompts, tmp_path / "run")) == 0
    assert digest(tmp_path / "run") == digest(finished)


@pytest.mark.parametrize(
    "flags, word",
    [
        ({"num_images": 0}, "--num-images is 0"),
        ({"num_images": -3}, "--num-images is -3"),
        ({"batch_size": 0}, "--batch-size is 0"),
        ({"min_confidence": 1.5}, "--min-confidence is 1.5"),
        ({"control": "depth"}, "'depth'"),
        ({"prompts": "nowhere.txt"}, "nowhere.txt does not exist"),
        ({"prompts": "."}, "is a folder"),
        ({"prompt": "a fist"}, "either --prompts FILE or --prompt TEXT"),
        ({"pipeline": "tests"}, "tests is no pipeline"),
    ],
)
def test_mistakes(
    pipeline: Path, prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: dict, word: str
) -> None:
    assert cli.run(arguments(pipeline, prompts, tmp_path / "run", **flags)) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert word in message
    assert not (tmp_path / "run").exists()


def test_a_folder_with_other_settings_or_files_is_left_alone(
    finished: Path, pipeline: Path, prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = digest(finished)
    assert cli.run(arguments(pipeline, prompts, finished, seed=1)) == 2
    assert "seed was 0, now 1" in capsys.readouterr().err
    assert digest(finished) == before
    (tmp_path / "thesis.txt").write_text("precious")
    assert cli.run(arguments(pipeline, prompts, tmp_path)) == 2
    assert "thesis.txt" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_prompts_that_the_model_cannot_take_in_are_named(
    pipeline: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [{"prompt": "a fist " * 1429, "num": 1}, {"prompt": "握拳", "control": "pose"}, {"prompt": "a fist"}]
    file = tmp_path / "prompts.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    assert cli.run(arguments(pipeline, file, tmp_path / "run", num_images=3)) == 0
    assert "1 prompt(s) are longer" in caplog.text and "knows no word of 1 prompt(s)" in caplog.text
    assert (
        json.loads((tmp_path / "run/manifest.json").read_text())["rows"]
        + len((tmp_path / "run/rejected.jsonl").read_text().splitlines())
        == 3
    )
