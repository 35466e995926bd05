"""Rendered folder -> reader: the same hands; altered, cut or unfinished folders are named."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from recon.data.record import project_points
from recon.data.world import World
from recon.files import FileError
from synth.world.world import World as Renderer
from tests.data_sets import world as fixture
from tests.data_sets.rebuild import rebuilt_joints


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fixture.write(tmp_path_factory.mktemp("world") / "rendered")


@pytest.fixture
def folder(rendered: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(rendered, tmp_path / "copy"))


def test_every_hand_comes_back_as_it_was_drawn(rendered: Path) -> None:
    reader = World(rendered, "test")
    renderer = Renderer(5, 96, "test")
    assert len(reader) == 6 and reader.expected is None
    for index in range(6):
        (hand,) = reader.read(index).hands
        truth = renderer.render(renderer.scene(index))
        np.testing.assert_allclose(hand.joints, truth.joints_cam, atol=1e-6)
        np.testing.assert_array_equal(hand.keypoints_2d, truth.keypoints_2d)
        np.testing.assert_array_equal(hand.box, truth.box)
        np.testing.assert_allclose(project_points(hand.joints, hand.intrinsics), hand.keypoints_2d[:, :2], atol=0.01)
        assert hand.is_right == truth.scene.is_right and hand.caption == truth.scene.captions[-1]
        assert hand.sample_id == f"world/test/{truth.scene.sample_id}/{'right' if hand.is_right else 'left'}"
        assert hand.image[:4] == hand.mask[:4] == b"\x89PNG"
        np.testing.assert_allclose(rebuilt_joints(hand), truth.joints_cam, atol=1e-4)


def test_pictures_can_be_read_in_any_order_and_in_another_process(rendered: Path) -> None:
    reader = World(rendered, "test")
    ordered = [reader.read(index).hands[0].image_id for index in range(6)]
    copy = pickle.loads(pickle.dumps(reader))
    assert len(pickle.dumps(reader)) < 5000
    assert [copy.read(index).hands[0].image_id for index in (5, 0, 4, 1)] == [ordered[i] for i in (5, 0, 4, 1)]
    assert "row 1" in reader.file(5) and "00001-of-00002" in reader.file(5)


def test_an_altered_shard_gives_no_hand(folder: Path) -> None:
    shard = sorted((folder / "data").iterdir())[0]
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(bytes(data))
    reader = World(folder, "test")
    with pytest.raises(FileError, match=f"{shard.name} was altered"):
        reader.read(0)
    assert reader.read(4).hands


@pytest.mark.parametrize("cut", [True, False])
def test_a_cut_or_missing_shard_is_found_at_opening(folder: Path, cut: bool) -> None:
    shard = sorted((folder / "data").iterdir())[1]
    shard.write_bytes(shard.read_bytes()[:-9]) if cut else shard.unlink()
    with pytest.raises(FileError, match=f"{shard.name} (has|is missing)"):
        World(folder, "test")


def test_a_damaged_picture_or_missing_column_is_named(folder: Path) -> None:
    fixture.rewrite(folder, {2: b"\x89PNG no picture"})
    reader = World(folder, "test")
    with pytest.raises(FileError, match="row 2 is not a readable image"):
        reader.read(2)
    assert reader.read(1).hands
    fixture.rewrite(folder, {}, drop="cam_t")
    with pytest.raises(FileError, match="parquet has no column 'cam_t'"):
        World(folder, "test").read(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"complete": False}, "is not finished"),
        ({"format": "webdataset"}, "only parquet"),
        ({"shards": None}, "no list 'shards'"),
        ({"shards": [{"file": "data/test-00000-of-00001.parquet"}]}, "has no 'rows'"),
        ({"shards": [{"file": "../x.parquet", "rows": 1, "bytes": 1, "sha256": ""}]}, "names a shard '../x.parquet'"),
    ],
)
def test_an_odd_manifest_is_named(folder: Path, change: dict, message: str) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(FileError, match=message):
        World(folder, "test")


def test_a_split_that_is_not_there_and_a_folder_that_is_no_run(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="holds no split 'train'; it holds test"):
        World(folder, "train")
    with pytest.raises(FileError, match="world has no split 'val'"):
        World(folder, "val")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match="manifest.json does not exist"):
        World(tmp_path / "empty", "test")
