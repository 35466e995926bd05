"""Scores of files of predictions: perfect ones, moved ones, zeros, and what cannot be scored."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.cli import run
from pipelines.score_predictions import released_hands, score_predictions
from recon.data.pred_json import Predictions, form_of, write_predictions
from recon.data.reader import reader_class
from recon.files import FileError, open_json
from tests.data_sets import freihand, ho3d
from tests.data_sets.rebuild import made_up_basis
from tests.data_sets.truth import Truth, truths

SETS = ["freihand", "ho3d-v2"]


def right_hands() -> list[Truth]:
    return [truth for truth in truths(8) if truth.is_right][:3]


def truth_of(hands: list[Truth]) -> Predictions:
    return Predictions(
        joints=np.stack([hand.joints for hand in hands]), vertices=np.stack([hand.vertices for hand in hands])
    )


def write_set(root: Path, name: str, *, released: bool = True) -> None:
    if name == "freihand":
        freihand.write(root, right_hands(), made_up_basis(), released=released)
    else:
        ho3d.write(root, right_hands(), released=released)


def scores_of(root: Path, name: str, predictions: Predictions) -> dict[str, float]:
    write_predictions(root / "pred.json", predictions, form_of(name))
    return score_predictions(root / "pred.json", name, root, "evaluation")


@pytest.mark.parametrize("name", SETS)
def test_a_perfect_prediction_has_no_error_and_a_moved_one_its_distance(tmp_path: Path, name: str):
    write_set(tmp_path, name)
    perfect = truth_of(right_hands())
    scores = scores_of(tmp_path, name, perfect)
    assert scores["n"] == 3 and scores["f_at_5mm"] == pytest.approx(1)
    errors = ("mpjpe_mm", "mpvpe_mm", "pa_mpjpe_mm", "pa_mpvpe_mm", "sc_tr_mpjpe_mm", "pa_mpjpe_mm_proper")
    assert all(scores[error] < 1e-3 for error in errors)
    moved = Predictions(joints=perfect.joints + [0, 0.03, 0.04], vertices=perfect.vertices + [0, 0.03, 0.04])
    scores = scores_of(tmp_path, name, moved)
    assert scores["mpjpe_mm"] == pytest.approx(50, abs=1e-3) and scores["mpvpe_mm"] == pytest.approx(50, abs=1e-3)
    assert scores["pa_mpjpe_mm"] < 1e-3 and scores["pa_mpvpe_mm"] < 1e-3


@pytest.mark.parametrize("name", SETS)
def test_zeros_score_the_mean_distance_from_the_camera_and_aligned_the_spread_of_a_hand(tmp_path: Path, name: str):
    write_set(tmp_path, name)
    scores = scores_of(tmp_path, name, Predictions(joints=np.zeros((3, 21, 3)), vertices=np.zeros((3, 778, 3))))
    truth = truth_of(right_hands())
    for points, error in ((truth.joints, "mpjpe_mm"), (truth.vertices, "mpvpe_mm")):
        assert scores[error] == pytest.approx(1000 * np.linalg.norm(points, axis=-1).mean(), rel=1e-5)
        spread = np.linalg.norm(points - points.mean(1, keepdims=True), axis=-1).mean()
        assert scores[f"pa_{error}"] == pytest.approx(1000 * spread, rel=1e-5)
    assert scores["f_at_5mm"] < 0.5 and scores["auc_j"] < 0.6


def test_ho3d_s_file_in_the_wrong_axes_or_order_is_far_off(tmp_path: Path):
    write_set(tmp_path, "ho3d-v2")
    write_predictions(tmp_path / "pred.json", truth_of(right_hands()), form_of("freihand"))
    assert score_predictions(tmp_path / "pred.json", "ho3d-v2", tmp_path, "evaluation")["mpjpe_mm"] > 500


def test_what_cannot_be_scored_is_said(tmp_path: Path):
    root = tmp_path / "freihand"
    write_set(root, "freihand", released=False)
    with pytest.raises(FileError, match="00000000.jpg has no released joints and mesh.*freihand evaluation cannot be"):
        scores_of(root, "freihand", truth_of(right_hands()))
    with pytest.raises(FileError, match="pred.json holds 2 hands, but freihand evaluation 3 pictures"):
        scores_of(root, "freihand", truth_of(right_hands()[:2]))
    with pytest.raises(FileError, match="'h2o3d' has no form of predictions"):
        score_predictions(root / "pred.json", "h2o3d", root, "train")
    write_set(tmp_path / "ho3d", "ho3d-v2")
    with pytest.raises(FileError, match="ho3d-v2 train cannot be scored here"):
        released_hands(reader_class("ho3d-v2")(tmp_path / "ho3d", "train"))


def test_the_command_writes_the_scores(tmp_path: Path):
    write_set(tmp_path, "freihand")
    write_predictions(tmp_path / "pred.json", truth_of(right_hands()), form_of("freihand"))
    arguments = ["evaluate", "predictions", str(tmp_path / "pred.json"), "--dataset", "freihand"]
    assert run([*arguments, "--root", str(tmp_path), "--out", str(tmp_path / "scores.json")]) == 0
    assert open_json(tmp_path / "scores.json")["mpjpe_mm"] < 1e-3
    assert run([*arguments, "--root", str(tmp_path / "none"), "--out", str(tmp_path / "other.json")]) == 2
    assert not (tmp_path / "other.json").exists()
