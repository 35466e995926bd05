"""Training arrays: drawn once, the controls lie on the hand, reduced pictures keep their labels."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recon.files import FileError
from synth.pictures import open_pictures
from tests.synth.controlnet.hand_set import write_hands


def test_the_mesh_control_is_drawn_as_the_pipelines_draw_it(tmp_path: Path) -> None:
    pictures = open_pictures([write_hands(tmp_path / "data")], tmp_path / "cache", size=64)
    assert len(pictures) == 4 and pictures.size == 64
    np.testing.assert_array_equal(pictures.mesh, pictures.images)  # the set's pictures are their own control images
    assert pictures.is_right.tolist() == [False, True, False, True]
    assert pictures.captions[1] == ("a small hand", "a right hand", "a posed hand")


def test_halving_the_size_halves_the_labels(tmp_path: Path) -> None:
    folder = write_hands(tmp_path / "data")
    full, half = (open_pictures([folder], tmp_path / "cache", size=size) for size in (64, 32))
    np.testing.assert_allclose(half.keypoints_2d[..., :2], full.keypoints_2d[..., :2] / 2)
    np.testing.assert_allclose(half.boxes, full.boxes / 2)
    difference = half.mesh.astype(int) - half.images.astype(int)  # drawn small against drawn large and reduced
    assert np.abs(difference).mean() < 3
    seen = half.pose.any(-1)
    for index in range(4):
        x, y = half.keypoints_2d[index, 9, :2].astype(int)
        assert seen[index, y, x]


def test_the_second_opening_reads_the_arrays(tmp_path: Path) -> None:
    folder = write_hands(tmp_path / "data")
    first = open_pictures([folder], tmp_path / "cache", size=32)
    stamps = {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").rglob("*.npy")}
    again = open_pictures([folder], tmp_path / "cache", size=32)
    np.testing.assert_array_equal(first.images, again.images)
    assert stamps == {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").rglob("*.npy")}
    assert len(open_pictures([folder], tmp_path / "cache", size=32, limit=2)) == 2


def test_missing_files_and_columns_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="holds no parquet files"):
        open_pictures([tmp_path], tmp_path / "cache")
    pq.write_table(pa.table({"image": [b""]}), tmp_path / "a.parquet")
    with pytest.raises(FileError, match="lacks the column 'betas'"):
        open_pictures([tmp_path], tmp_path / "cache")
