"""The render bench: its hands fill the picture, its figures are whole, wrong numbers are refused."""

import json

import numpy as np
import pytest

from pipelines.bench.render import bench_hands, measure_render, render


def test_the_hands_fill_the_picture():
    vertices, _, parts, focal_length, joints = bench_hands(6, 128)
    pixels = vertices[..., :2] / vertices[..., 2:] * focal_length + 64
    assert pixels.min() > 0 and pixels.max() < 128
    sides = (pixels.max(axis=1) - pixels.min(axis=1)).max(axis=1)
    assert (sides > 0.75 * 128).all() and (sides < 0.95 * 128).all()
    assert joints.shape == (6, 21, 2) and set(np.unique(parts)) == set(range(16))


def test_figures_are_of_one_run_and_written_when_asked(tmp_path):
    figures = measure_render(size=48, hands=2, rounds=2)
    assert figures.vertices == 778 and 0.05 < figures.covered < 0.8
    assert min(figures.rasterizer, figures.mesh_image, figures.pose_image) > 0
    assert (figures.ratio is None) == (figures.pyrender is None)
    render(size=32, hands=1, rounds=1, out=tmp_path / "figures.json")
    assert json.loads((tmp_path / "figures.json").read_text())["size"] == 32


def test_wrong_numbers_are_refused():
    with pytest.raises(ValueError, match="--hands is 0"):
        render(hands=0)
