"""The data bench: all ways give records, figures are written, numbers that mean nothing are refused."""

import json
from pathlib import Path

import pytest

from pipelines.bench.data import data


def test_all_ways_are_measured(tmp_path: Path):
    out = tmp_path / "figures.json"
    data(records=32, num_workers=0, width=96, height=64, size=32, rounds=1, memory_records=64, out=out)
    figures = json.loads(out.read_text())
    assert set(figures["rates"]) >= {"decoding alone", "our loader, augmented", "our loader, crops only"}
    assert figures["ratios"]["decoding alone"] == 1 and min(figures["rates"].values()) > 0
    assert figures["memory_mib"] > 0


def test_numbers_that_mean_nothing():
    with pytest.raises(ValueError, match="--records is 1; it must be at least 2"):
        data(records=1)
