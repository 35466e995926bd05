"""`handloom evaluate`: the golden files through the command line, and every kind of wrong file in one sentence."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from pipelines.cli import run
from pipelines.evaluate import GENERATION_ARRAYS, RECONSTRUCTION_ARRAYS, TEXT_TO_MESH_ARRAYS

SIZES = {"n": 4, "m": 5, "v": 30, "h": 2, "d": 6, "t": 3}


def arrays_of(shapes) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {k: rng.uniform(0.6, 1.0, [SIZES.get(s, s) for s in shape]) for k, shape in shapes.items()}


def evaluate(name: str, file: Path, out: Path) -> int:
    flag = "--features" if name == "generation" else "--arrays"
    return run(["evaluate", name, flag, str(file), "--out", str(out)])


@pytest.mark.parametrize("name, golden", [("reconstruction", "recon_metrics"), ("generation", "generation_metrics")])
def test_golden(name, golden, shared, tmp_path):
    out = tmp_path / "scores.json"
    assert evaluate(name, shared / "golden" / f"{golden}.npz", out) == 0
    ours, expected = json.loads(out.read_text()), json.loads((shared / "golden" / f"{golden}.json").read_text())
    assert list(ours) == list(expected)
    for key, value in expected.items():
        assert ours[key] == pytest.approx(value, rel=0, abs=1e-6 if "pa_mp" in key else 1e-9), key


def test_text_to_mesh(tmp_path):
    np.savez(tmp_path / "in.npz", **arrays_of(TEXT_TO_MESH_ARRAYS))
    assert evaluate("text-to-mesh", tmp_path / "in.npz", tmp_path / "out.json") == 0
    scores = json.loads((tmp_path / "out.json").read_text())
    assert (scores["texts"], scores["samples"]) == (3, 4)
    assert scores["pa_mpvpe_mm_mean"] > 0 and scores["diversity_mm"] > 0


def wrong_files():
    good = arrays_of(RECONSTRUCTION_ARRAYS)
    without = {k: v for k, v in good.items() if k != "gt_joints"}
    nan = good["pred_vertices"].copy()
    nan[1, 2, 0] = np.nan
    yield "missing array", without, "gt_joints"
    yield "20 joints", good | {"pred_joints": good["pred_joints"][:, :20]}, r"pred_joints has the shape \(4, 20, 3\)"
    yield "other count", good | {"box_size": good["box_size"][:3]}, r"box_size has the shape \(3,\); allowed is \(4,\)"
    yield "other vertices", good | {"pred_vertices": good["pred_vertices"][:, 1:]}, "pred_vertices"
    yield "nan", good | {"pred_vertices": nan}, "pred_vertices holds 1 values that are not finite"
    yield "text", good | {"gt_joints": np.full((4, 21, 3), "a")}, "gt_joints"
    yield "objects", good | {"gt_joints": np.full((4, 21, 3), None)}, "gt_joints"
    yield "empty", {k: v[:0] for k, v in good.items()}, "not empty"
    yield "no box", good | {"box_size": np.zeros(4)}, "box_size"


@pytest.mark.parametrize("arrays, message", [pytest.param(a, m, id=i) for i, a, m in wrong_files()])
def test_wrong_arrays_are_one_sentence(arrays, message, tmp_path, capsys):
    np.savez(tmp_path / "in.npz", **arrays)
    assert evaluate("reconstruction", tmp_path / "in.npz", tmp_path / "out.json") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "Traceback" not in said
    assert re.search(message, said), said
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("content", [None, b"", b"not a zip", b"PK\x03\x04 cut"])
def test_files_that_are_no_npz(content, tmp_path, capsys):
    if content is not None:
        (tmp_path / "in.npz").write_bytes(content)
    assert evaluate("generation", tmp_path / "in.npz", tmp_path / "out.json") == 2
    assert "in.npz" in capsys.readouterr().err


def test_one_vector_has_no_covariance(tmp_path, capsys):
    arrays = arrays_of(GENERATION_ARRAYS)
    np.savez(tmp_path / "in.npz", **arrays | {"features_a": arrays["features_a"][:1]})
    assert evaluate("generation", tmp_path / "in.npz", tmp_path / "out.json") == 2
    assert "1 and 5 vectors" in capsys.readouterr().err


def test_nothing_counted_is_null(tmp_path):
    arrays = arrays_of(RECONSTRUCTION_ARRAYS) | {"keypoint_confidence": np.zeros((4, 21))}
    np.savez(tmp_path / "in.npz", **arrays)
    assert evaluate("reconstruction", tmp_path / "in.npz", tmp_path / "out.json") == 0
    assert set(json.loads((tmp_path / "out.json").read_text())["pck"].values()) == {None}


def test_an_unwritable_place_keeps_what_was_there(tmp_path, capsys):
    np.savez(tmp_path / "in.npz", **arrays_of(GENERATION_ARRAYS))
    (tmp_path / "file").write_text("mine")
    assert evaluate("generation", tmp_path / "in.npz", tmp_path / "file" / "out.json") == 2
    assert "out.json" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"
