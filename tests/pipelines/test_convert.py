"""`handloom convert`: nothing is lost on the way, damage is counted, the same bytes however it is run."""

import hashlib
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset
from PIL import Image

from pipelines import cli
from pipelines.run_folder import IncompleteRunError, RunFolder
from recon.data.record import Frame
from recon.data.world import World
from tests.data_sets import rhd
from tests.data_sets import world as fixture
from tests.data_sets.truth import truths


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fixture.write(tmp_path_factory.mktemp("world") / "rendered", 9)


def convert(root: Path, out: Path, *flags: str, workers: int = 1) -> int:
    common = ["--split", "test", "--num-workers", str(workers), "--shard-size", "4"]
    return cli.run(["convert", "world", str(root), "--out", str(out), *common, *flags])


def digest(folder: Path) -> dict[str, str]:
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def whole(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out"
    assert convert(rendered, out) == 0
    return out


def test_load_dataset_gives_the_hands_that_were_drawn(rendered: Path, whole: Path, tmp_path: Path) -> None:
    hands = load_dataset(str(whole), split="test", cache_dir=str(tmp_path))
    reader = World(rendered, "test")
    assert len(hands) == 9
    for index, row in enumerate(hands):
        (hand,) = reader.read(index).hands
        np.testing.assert_array_equal(np.float32(row["joints"]), hand.joints)
        np.testing.assert_array_equal(np.float32(row["keypoints_2d"]), hand.keypoints_2d)
        assert row["sample_id"] == hand.sample_id and row["caption"] == hand.caption and row["vertices"] is None
        assert row["image"].size == (96, 96) and np.array_equal(
            np.asarray(row["mask"]), np.asarray(Image.open(io.BytesIO(hand.mask)))
        )
    card = (whole / "README.md").read_text()
    assert "Apache-2.0" in card and "synthetic" not in card and (whole / "contact_sheet.png").exists()


def test_the_same_bytes_for_two_workers(rendered: Path, whole: Path, tmp_path: Path) -> None:
    assert convert(rendered, tmp_path / "out", workers=2) == 0
    assert digest(tmp_path / "out") == digest(whole)


def test_stopped_and_damaged_runs_go_on_to_the_same_bytes(
    rendered: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, write = tmp_path / "out", RunFolder.write

    def full(self, shard, samples):
        if shard.index == 1:
            raise IncompleteRunError("The disk is full")
        write(self, shard, samples)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "write", full)
        assert convert(rendered, out) == 1
    assert "disk is full" in capsys.readouterr().err
    assert len(json.loads((out / "manifest.json").read_text())["shards"]) == 1
    assert convert(rendered, out) == 0
    assert digest(out) == digest(whole)
    next((out / "data").iterdir()).unlink()
    assert convert(rendered, out) == 0
    assert digest(out) == digest(whole)
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*")}
    assert convert(rendered, out) == 0
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*")} == before


def test_damage_is_rejected_counted_and_an_exit_code_each_time(
    rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = Path(shutil.copytree(rendered, tmp_path / "source")), tmp_path / "out"
    good = World(root, "test").read(0).hands[0].image
    fixture.rewrite(root, {2: good[: len(good) // 2], 3: b"GIF89a"})
    for _ in range(2):
        assert convert(root, out) == 1
        message = capsys.readouterr().err
        assert "2 of 9 pictures of world are damaged" in message and "row 2" in message and message.count("\n") == 1
        manifest = json.loads((out / "manifest.json").read_text())
        assert manifest["complete"] and manifest["rows"] == 7
    lines = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    assert [(line["index"], line["kind"]) for line in lines] == [(2, "damaged"), (3, "damaged")]
    assert "row 3" in lines[1]["file"] and "PNG, JPEG, WEBP" in lines[1]["reason"]


def test_a_mended_picture_is_taken_in_by_the_same_command(tmp_path: Path) -> None:
    root, out = tmp_path / "rhd", tmp_path / "out"
    rhd.write(root, truths(8))
    picture = root / "training" / "color" / "00005.png"
    whole = picture.read_bytes()
    picture.write_bytes(whole[: len(whole) // 2])
    command = ["convert", "rhd", str(root), "--num-workers", "1", "--shard-size", "3", "--out"]
    assert cli.run([*command, str(out)]) == 1
    damaged = digest(out)
    assert cli.run([*command, str(out)]) == 1 and digest(out) == damaged
    picture.write_bytes(whole)
    assert cli.run([*command, str(out)]) == 0
    assert cli.run([*command, str(tmp_path / "new")]) == 0
    assert digest(out) == digest(tmp_path / "new")
    assert (out / "rejected.jsonl").read_bytes() == b""


def test_empty_frames_and_two_hands_in_a_picture(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read = World.read

    def other(self, index):
        hands = [read(self, number).hands[0] for number in ((), (1, 2), (3,))[min(index, 2)]]
        return Frame(tuple(hands), "" if hands else "no hand is labelled")

    monkeypatch.setattr(World, "read", other)
    monkeypatch.setattr(World, "expected", 12)
    caplog.set_level("INFO")
    assert convert(rendered, tmp_path / "out", "--limit", "3") == 0
    assert "holds 3 hands of 3 pictures; 1 pictures have no hand, 0 are damaged." in caplog.text
    assert "should have" not in caplog.text
    (line,) = [json.loads(line) for line in (tmp_path / "out/rejected.jsonl").read_text().splitlines()]
    assert line["kind"] == "no hand" and line["reason"] == "no hand is labelled"
    cache = str(tmp_path / "cache")
    assert len(load_dataset(str(tmp_path / "out"), split="test", cache_dir=cache)) == 3
    assert convert(rendered, tmp_path / "all" / "out") == 0  # another folder of the same name is another data set
    assert len(load_dataset(str(tmp_path / "all" / "out"), split="test", cache_dir=cache)) == 9
    assert "split test should have 12 pictures" in caplog.text


def test_mistakes_are_one_sentence(
    rendered: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out")]
    root = str(rendered)
    lines = {
        "There is no data set 'imagenet'": ["imagenet", root, *out],
        "does not exist": ["world", str(tmp_path / "gone"), *out],
        "manifest.json is a file; give the folder of world": ["world", f"{root}/manifest.json", *out],
        "manifest.json/check.png cannot be written": [
            *("world", root, "--split", "test", "--check", "--sheet", f"{root}/manifest.json/check.png")
        ],
        "world has no split 'val'": ["world", root, "--split", "val", *out],
        "--out is missing": ["world", root],
        "--limit is 0": ["world", root, "--limit", "0", *out],
        "mano.npz does not exist": ["world", root, "--split", "test", "--mano", str(tmp_path / "mano.npz"), *out],
    }
    for words, arguments in lines.items():
        assert cli.run(["convert", *arguments]) == 2
        message = capsys.readouterr().err
        assert words in message and message.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_another_source_is_another_run(
    rendered: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = shutil.copytree(rendered, tmp_path / "moved")
    before = digest(whole)
    assert convert(Path(moved), whole) == 2
    assert "root was" in capsys.readouterr().err
    assert convert(rendered, whole, "--limit", "3") == 2
    assert digest(whole) == before


def test_a_source_that_vanishes_is_no_damage(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(shutil.copytree(rendered, tmp_path / "source"))
    read = World.read

    def unplugged(self, index):
        if index == 5:
            shutil.rmtree(root)
            self._held, self._whole = None, set()
        return read(self, index)

    monkeypatch.setattr(World, "read", unplugged)
    assert convert(root, tmp_path / "out") == 1
    assert "source is gone" in capsys.readouterr().err
    assert len(json.loads((tmp_path / "out/manifest.json").read_text())["shards"]) == 1


def test_check_draws_the_sheet_and_writes_nothing_else(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["convert", "world", str(rendered), "--split", "test", "--check", "--out", "never"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["world_check.png"]
    words = " ".join(capsys.readouterr().out.split())
    assert "0.00 px mean" in words and "damaged pictures │ 0" in words
    with Image.open("world_check.png") as sheet:
        blue = (np.asarray(sheet.convert("HSV"))[..., 0].astype(int) - 156).__abs__() < 12
    assert blue.mean() > 0.05  # the meshes


def test_check_notices_a_reader_with_a_wrong_camera(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipelines.reader_check import reprojection_errors, sample

    reader = World(rendered, "test")
    hands = sample(reader, 4, 9).hands
    assert len(hands) == 4 and reprojection_errors(hands).max() < 0.01
    for hand in hands:
        hand.keypoints_2d[:, 0] += 7
    np.testing.assert_allclose(reprojection_errors(hands), 7, atol=0.01)
