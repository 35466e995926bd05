"""`handloom render`: the same bytes from one, two and three processes, and a folder that can be read back."""

import hashlib
from pathlib import Path

import numpy as np

from pipelines.render import render
from synth.world.dataset import WorldRecords
from synth.world.world import World


def _digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted((folder / "data").iterdir())}


def test_any_number_of_workers_writes_the_same_bytes(tmp_path: Path) -> None:
    found = []
    for workers in (1, 2, 3):
        out = tmp_path / str(workers)
        render(num_images=7, out=out, size=48, seed=2, num_workers=workers, shard_size=4)
        found.append(_digests(out))
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 2

    before = _digests(tmp_path / "1")
    render(num_images=7, out=tmp_path / "1", size=48, seed=2, num_workers=1, shard_size=4)
    assert _digests(tmp_path / "1") == before

    records, world = WorldRecords(tmp_path / "2"), World(2, 48)
    assert len(records) == 7
    sample = world.render(world.scene(5))
    np.testing.assert_array_equal(records.image(5), sample.image)
    np.testing.assert_allclose(records.column("joints")[5], sample.joints_cam, rtol=1e-6)
    np.testing.assert_array_equal(records[5]["mask"] > 0, sample.mask)
