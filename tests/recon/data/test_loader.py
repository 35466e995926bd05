"""Loading: every record once an epoch, the same batches for any number of workers and any start, flat memory."""

import itertools
import json
import pickle
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from recon.data.augmentation import AugmentationConfig
from recon.data.batch import BatchConfig, HandBatch
from recon.data.loader import HandLoader, LoaderConfig
from recon.data.parquet_set import Lane, ParquetSet
from recon.data.record import SHAPES
from recon.files import FileError
from tests.data_sets.records import records, write_folder

COUNT = 46
TINY = LoaderConfig(5, BatchConfig(24), num_workers=0, lanes=3, buffer=30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = records(COUNT)
    rows[3] = replace(rows[3], joints=None, vertices=None, betas=None, intrinsics=None, is_right=None)
    return write_folder(tmp_path_factory.mktemp("set"), rows, shard_size=10)


def take(batches: Iterator[HandBatch], count: int) -> list[HandBatch]:
    return list(itertools.islice(batches, count))


def ids(batches: list[HandBatch]) -> list[str]:
    return [name for batch in batches for name in batch.sample_ids]


def assert_same(first: list[HandBatch], second: list[HandBatch]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.sample_ids == other.sample_ids
        for field in fields(HandBatch):
            if isinstance(value := getattr(one, field.name), Tensor):
                assert torch.equal(value, getattr(other, field.name)), field.name
        assert torch.equal(one.camera.crop_intrinsics, other.camera.crop_intrinsics)


def test_records_come_back_as_they_were_written(folder: Path):
    source = ParquetSet(folder)
    lane = Lane(0, 1, 0, False, 10)
    read = list(source.stream(lane, epochs=1))
    wanted = records(COUNT)
    assert [row.sample_id for row in read] == [row.sample_id for row in wanted]
    for row, truth in zip(read, wanted, strict=True):
        if row.is_right is None:
            assert row.joints is row.vertices is row.betas is row.intrinsics is None and row.hand_pose is not None
            continue
        assert row.image == truth.image and row.is_right == truth.is_right
        for name in SHAPES:
            assert np.array_equal(getattr(row, name), getattr(truth, name)), name


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("lanes", [1, 3, 8])
@pytest.mark.parametrize("shuffle", [True, False])
def test_one_pass_gives_every_record_once(folder: Path, ranks: int, lanes: int, shuffle: bool):
    source = ParquetSet(folder)
    seen: list[str] = []
    for rank in range(ranks):
        lanes_of_rank = [Lane(rank * lanes + i, ranks * lanes, 7, shuffle, 15) for i in range(lanes)]
        for lane in lanes_of_rank:
            share = [row.sample_id for row in source.stream(lane, epochs=1)]
            assert len(share) == source.rows_of(lane) > 0
            seen += share
    assert Counter(seen) == Counter(row.sample_id for row in records(COUNT))


def test_one_pass_of_the_loader(folder: Path):
    for workers in (0, 2):
        config = replace(TINY, shuffle=False, num_workers=workers)
        batches = list(HandLoader(folder, config).one_pass())
        assert Counter(ids(batches)) == Counter(row.sample_id for row in records(COUNT))
        assert all(len(batch) <= 5 for batch in batches)


def test_any_position_of_a_stream_is_reached_at_once(folder: Path):
    source, lane = ParquetSet(folder), Lane(1, 3, 5, True, 12)
    whole = [row.sample_id for row in itertools.islice(source.stream(lane), 60)]
    for start in (0, 1, 7, 15, 16, 40):
        assert [row.sample_id for row in itertools.islice(source.stream(lane, start), 60 - start)] == whole[start:]


def test_the_number_of_workers_changes_nothing(folder: Path):
    config = replace(TINY, batch=BatchConfig(24, augmentation=AugmentationConfig()))
    alone = take(HandLoader(folder, config).batches(), 7)
    for workers in (1, 2):
        assert_same(take(HandLoader(folder, replace(config, num_workers=workers)).batches(), 7), alone)
    assert_same(take(HandLoader(folder, replace(config, num_workers=2)).batches(start=4), 3), alone[4:])


def test_order_is_by_seed_and_epoch(folder: Path):
    source, lane = ParquetSet(folder), Lane(0, 1, 1, True, 20)
    stream = [row.sample_id for row in itertools.islice(source.stream(lane), 2 * COUNT)]
    first, second = stream[:COUNT], stream[COUNT:]
    assert sorted(first) == sorted(second) and first != second and first != sorted(first)
    other = [row.sample_id for row in source.stream(replace(lane, seed=2), epochs=1)]
    assert sorted(other) == sorted(first) and other != first


def test_ranks_share_the_records_and_differ(folder: Path):
    shares = [set(ids(take(HandLoader(folder, replace(TINY, rank=r, ranks=2)).batches(), 3))) for r in (0, 1)]
    assert not shares[0] & shares[1]


def test_no_more_than_a_window_is_read_ahead(folder: Path, monkeypatch: pytest.MonkeyPatch):
    source, lane, read = ParquetSet(folder), Lane(0, 1, 0, True, 20), []
    plain = ParquetSet.read
    monkeypatch.setattr(ParquetSet, "read", lambda self, unit: read.append(unit.rows) or plain(self, unit))
    stream = source.stream(lane)
    for given in range(1, 3 * COUNT):
        next(stream)
        assert sum(read) - given < 20


def test_loaders_can_be_sent(folder: Path):
    loader = HandLoader(folder, TINY)
    assert_same(take(pickle.loads(pickle.dumps(loader)).batches(), 2), take(loader.batches(), 2))


def damaged_copy(folder: Path, target: Path, change: dict) -> Path:
    (target / "data").mkdir(parents=True)
    for path in (folder / "data").iterdir():
        (target / "data" / path.name).write_bytes(path.read_bytes())
    manifest = {**json.loads((folder / "manifest.json").read_text()), **change}
    (target / "manifest.json").write_text(json.dumps(manifest))
    return target


def test_folders_that_cannot_be_trained_on(folder: Path, tmp_path: Path):
    with pytest.raises(FileError, match=r"manifest.json does not exist"):
        ParquetSet(tmp_path)
    with pytest.raises(FileError, match="is unfinished; training reads finished folders"):
        ParquetSet(damaged_copy(folder, tmp_path / "a", {"complete": False}))
    with pytest.raises(FileError, match="is written as webdataset"):
        ParquetSet(damaged_copy(folder, tmp_path / "b", {"format": "webdataset"}))
    cut = damaged_copy(folder, tmp_path / "c", {})
    first = sorted((cut / "data").iterdir())[0]
    first.write_bytes(first.read_bytes()[:-1])
    with pytest.raises(FileError, match=rf"{first.name} is missing or not of the"):
        ParquetSet(cut)
    whole = folder / "data" / first.name
    first.write_bytes(b"x" * whole.stat().st_size)
    with pytest.raises(FileError, match=rf"{first.name} is a damaged parquet file"):
        ParquetSet(cut)
    with pytest.raises(FileError, match="holds no records"):
        ParquetSet(damaged_copy(folder, tmp_path / "d", {"shards": []}))
    with pytest.raises(FileError, match="46 records; 47 streams need"):
        next(ParquetSet(folder).stream(Lane(0, 47, 0, True, 10)))


def test_a_missing_column_is_named(folder: Path, tmp_path: Path):
    target = damaged_copy(folder, tmp_path / "a", {})
    path = sorted((target / "data").iterdir())[0]
    pq.write_table(pq.read_table(path).drop_columns(["betas"]), path)
    manifest = json.loads((target / "manifest.json").read_text())
    manifest["shards"][0]["bytes"] = path.stat().st_size
    (target / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(FileError, match="has no column 'betas' of type"):
        ParquetSet(target)


def test_a_damaged_picture_names_its_sample(tmp_path: Path):
    rows = records(6)
    rows[4] = replace(rows[4], image=rows[4].image[:300])
    loader = HandLoader(write_folder(tmp_path, rows), replace(TINY, lanes=1))
    with pytest.raises(FileError, match=r"world/train/000004.png/\w+ is a damaged PNG"):
        take(loader.batches(), 3)


def test_numbers_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="batch_size is 0"):
        LoaderConfig(batch_size=0)
    with pytest.raises(ValueError, match="rank is 2 of 2"):
        LoaderConfig(rank=2, ranks=2)
