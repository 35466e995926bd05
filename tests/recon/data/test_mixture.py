"""Mixtures: shares follow the weights, any position is reached, workers change nothing, bad files are named."""

import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recon.data.batch import BatchConfig
from recon.data.loader import HandLoader, LoaderConfig
from recon.data.mixture import BLOCK, Mixture, MixtureConfig, MixtureSet
from recon.data.parquet_set import Lane, ParquetSet
from recon.files import FileError
from tests.data_sets.records import records, write_folder

WEIGHTS = {"first": 0.6, "second": 0.3, "third": 0.1}
LANE = Lane(0, 2, 3, True, 40)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> MixtureConfig:
    root = tmp_path_factory.mktemp("sets")
    for size, name in zip((12, 31, 7), WEIGHTS, strict=True):
        write_folder(root / name, records(size, name))
    return MixtureConfig(tuple(MixtureSet(name, root / name, weight) for name, weight in WEIGHTS.items()))


def test_observed_shares_follow_the_weights(config: MixtureConfig):
    names = [row.dataset for row in itertools.islice(Mixture.open(config).stream(LANE), BLOCK)]
    counts = Counter(names)
    for name, weight in WEIGHTS.items():
        assert abs(counts[name] - weight * BLOCK) <= 1
    half = Counter(names[: BLOCK // 2])  # and they are mixed, not one after the other
    assert all(abs(half[name] / (BLOCK / 2) - weight) < 0.06 for name, weight in WEIGHTS.items())


def test_weights_of_ten_sets_are_met_over_many_blocks(repository: Path):
    config = MixtureConfig.from_yaml(repository / "configs/recon/mixture_hamer.yaml")
    weights = np.array([entry.weight for entry in config.sets])
    mixture = Mixture.__new__(Mixture)
    mixture.sets, mixture.weights = [], weights
    drawn = np.concatenate([mixture.choices(LANE, block) for block in range(50)])
    np.testing.assert_allclose(np.bincount(drawn) / len(drawn), weights, atol=5e-4)


def test_the_hamer_mixture_is_as_published(repository: Path):
    config = MixtureConfig.from_yaml(repository / "configs/recon/mixture_hamer.yaml")
    assert len(config.sets) == 10 and sum(entry.records or 0 for entry in config.sets) == 2_720_872
    assert {entry.name: entry.weight for entry in config.sets}["interhand26m"] == 0.25
    with pytest.raises(FileError, match="data/freihand does not exist; `handloom convert` makes it from freihand"):
        Mixture.open(config)


def test_any_position_is_reached(config: MixtureConfig):
    mixture = Mixture.open(config)
    whole = [row.sample_id for row in itertools.islice(mixture.stream(LANE), BLOCK + 60)]
    for start in (1, 50, BLOCK - 1, BLOCK, BLOCK + 20):
        rest = itertools.islice(mixture.stream(LANE, start), 40)
        assert [row.sample_id for row in rest] == whole[start : start + 40]


def test_workers_change_nothing_and_lanes_differ(config: MixtureConfig):
    mixture = Mixture.open(config)
    tiny = LoaderConfig(6, BatchConfig(16), num_workers=0, lanes=3, buffer=60)
    alone = [batch.sample_ids for batch in itertools.islice(HandLoader(mixture, tiny).batches(), 9)]
    for workers in (1, 2):
        loader = HandLoader(mixture, replace(tiny, num_workers=workers))
        assert [batch.sample_ids for batch in itertools.islice(loader.batches(), 9)] == alone
    assert len(set(alone)) == 9
    with pytest.raises(ValueError, match="a mixture has no end"):
        HandLoader(mixture, tiny).one_pass()


def test_one_set_of_weight_one_is_the_set(config: MixtureConfig):
    source = ParquetSet(config.sets[1].folder)
    mixed = [row.sample_id for row in itertools.islice(Mixture([source], [1.0]).stream(LANE), 40)]
    assert mixed == [row.sample_id for row in itertools.islice(source.stream(LANE), 40)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sets: [{name: a, folder: b, weight: 0.5}]", "sum to 0.5; they must sum to 1"),
        ("sets: [{name: a, folder: b, weight: 1}, {name: a, folder: c, weight: 0}]", "different names, not a, a"),
        ("sets: [{name: a, folder: b, weight: 1}, {name: b, folder: c, weight: 0}]", "must be above 0"),
        ("sets: []", "not none"),
        ("sets: [{name: a, weight: 1}]", "each set has name, folder, weight"),
        ("sets: [{name: a, folder: b, weight: much}]", "the weight of a is 'much'"),
        ("other: 1", "must hold one key, sets"),
        ("sets: [", "is not a readable YAML file"),
    ],
)
def test_files_that_are_no_mixture(tmp_path: Path, text: str, message: str):
    path = tmp_path / "mixture.yaml"
    path.write_text(text)
    with pytest.raises(FileError, match=message):
        MixtureConfig.from_yaml(path)
