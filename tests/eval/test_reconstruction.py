"""Reconstruction scores: the golden results, naive references, invariances."""

import time

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from eval.alignment import similarity_align
from eval.reconstruction import (
    auc,
    f_scores,
    hamer_pa_mpjpe_mm,
    hypothesis_scores,
    pa_errors_mm,
    pck,
    pearson,
    point_distances,
    reconstruction_scores,
    scale_translation_mpjpe_mm,
)
from tests.eval.golden import load_golden

MIRROR = np.array([-1.0, 1.0, 1.0])


@pytest.fixture
def truth() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(6, 21, 3)) * 0.05


@pytest.fixture
def guess(truth) -> np.ndarray:
    return truth + np.random.default_rng(1).normal(size=truth.shape) * 0.01


def test_golden():
    arrays, expected = load_golden("recon_metrics")
    joints, target = arrays["pred_joints"], arrays["gt_joints"]
    scores = reconstruction_scores(joints, target, arrays["pred_vertices"], arrays["gt_vertices"])
    many = hypothesis_scores(arrays["hypotheses_joints"], target)
    mm = dict(rel=0, abs=1e-6)
    assert scores.pa_mpjpe_mm == pytest.approx(expected["pa_mpjpe_mm"], **mm)
    assert scores.pa_mpjpe_mm_proper == pytest.approx(expected["hamer_pa_mpjpe_mm"], **mm)
    assert hamer_pa_mpjpe_mm(joints, target) == pytest.approx(expected["hamer_pa_mpjpe_mm"], **mm)
    assert scores.pa_mpvpe_mm == pytest.approx(expected["pa_mpvpe_mm"], **mm)
    assert many.best_of_n_pa_mpjpe_mm == pytest.approx(expected["best_of_n_pa_mpjpe_mm"], **mm)
    assert many.average_hypothesis_pa_mpjpe_mm == pytest.approx(expected["average_hypothesis_pa_mpjpe_mm"], **mm)
    mirrored = pa_errors_mm(joints * MIRROR, target, "official").mean()
    assert mirrored == pytest.approx(expected["mirrored_pa_mpjpe_mm_reflection_allowed"], **mm)
    mirrored = hamer_pa_mpjpe_mm(joints * MIRROR, target)  # a single-precision figure at 20 mm: 1e-6 mm is half a digit
    assert mirrored == pytest.approx(expected["mirrored_pa_mpjpe_mm_proper_rotation"], **mm)
    exact = dict(rel=0, abs=1e-9)
    assert scores.auc_j == pytest.approx(expected["auc_j"], **exact)
    assert scores.auc_v == pytest.approx(expected["auc_v"], **exact)
    assert scores.f_at_5mm == pytest.approx(expected["f_at_5mm"], **exact)
    assert scores.f_at_15mm == pytest.approx(expected["f_at_15mm"], **exact)
    assert scores.sc_tr_mpjpe_mm == pytest.approx(expected["sc_tr_mpjpe_mm"], **exact)
    counted = arrays["keypoint_confidence"] > 0.5
    shares = pck(arrays["pred_keypoints_2d"], arrays["gt_keypoints_2d"], arrays["box_size"], counted)
    assert {str(k): v for k, v in shares.items()} == pytest.approx(expected["pck"], **exact)


def test_truth_scores_perfectly(truth):
    scores = reconstruction_scores(truth, truth, truth, truth)
    assert scores.n == len(truth)
    for error in (scores.pa_mpjpe_mm, scores.pa_mpjpe_mm_proper, scores.pa_mpvpe_mm, scores.sc_tr_mpjpe_mm):
        assert error == pytest.approx(0.0, abs=1e-10)
    assert scores.f_at_5mm == scores.f_at_15mm == 1.0
    # Rounding puts aligned points a hair above the threshold 0, which is half a step of the curve.
    assert scores.auc_j == pytest.approx(1.0, abs=0.5 / 99 + 1e-12)


def test_pa_error_ignores_similarity_but_not_a_mirror(truth, guess):
    rotation = Rotation.from_rotvec([0.3, -1.0, 0.5]).as_matrix()
    errors = pa_errors_mm(guess, truth)
    np.testing.assert_allclose(pa_errors_mm(1.7 * guess @ rotation + [1.0, -2.0, 3.0], truth), errors, rtol=1e-9)
    assert (pa_errors_mm(guess * MIRROR, truth) > 2 * errors).all()
    np.testing.assert_allclose(
        pa_errors_mm(guess * MIRROR, truth, "official"), pa_errors_mm(guess, truth, "official"), rtol=1e-9
    )


def test_a_batch_equals_singles(truth, guess):
    singles = [reconstruction_scores(*(x[i : i + 1] for x in (guess, truth, guess, truth))) for i in range(len(truth))]
    batch = reconstruction_scores(guess, truth, guess, truth)
    for name in ("pa_mpjpe_mm", "pa_mpvpe_mm_proper", "auc_j", "f_at_5mm", "sc_tr_mpjpe_mm"):
        assert getattr(batch, name) == pytest.approx(np.mean([getattr(one, name) for one in singles]))


def test_auc_equals_the_threshold_loop(truth, guess):
    distances = point_distances(guess, truth)
    thresholds = np.linspace(0, 0.05, 100)
    per_joint = [np.trapezoid([(d <= t).mean() for t in thresholds], thresholds) / 0.05 for d in distances.T]
    assert auc(distances) == pytest.approx(np.mean(per_joint), abs=1e-12)
    assert auc(np.zeros((2, 3))) == 1.0
    assert auc(np.full((2, 3), 0.0501)) == 0.0


def test_f_scores_equal_all_pairs(truth, guess):
    aligned = similarity_align(guess, truth)
    expected = []
    for ours, real in zip(aligned, truth, strict=True):
        pairs = cdist(ours, real)
        precision, recall = (pairs.min(1) < 0.015).mean(), (pairs.min(0) < 0.015).mean()
        expected.append(2 * precision * recall / (precision + recall))
    assert f_scores(aligned, truth)[1] == pytest.approx(np.mean(expected), abs=1e-12)
    assert f_scores(truth + 10.0, truth) == (0.0, 0.0)


def test_pck_means_over_joints_and_leaves_out_the_uncounted():
    target = np.zeros((2, 3, 2))
    guess = np.array([[[0, 5], [0, 30], [0, 0]], [[0, 5], [0, 5], [0, 0]]], np.float64)
    counted = np.array([[True, True, False], [True, False, False]])
    size = np.array([100.0, 100.0])
    assert pck(guess, target, size, counted) == {0.05: 0.5, 0.1: 0.5, 0.15: 0.5}  # joints: 1, 0, never counted
    assert pck(guess, target, size * 10, counted)[0.05] == 1.0
    assert np.isnan(pck(guess, target, size, np.zeros_like(counted))[0.05])


def test_hypotheses(truth, guess):
    many = np.stack([guess, truth, guess + 0.1], axis=1)
    assert hypothesis_scores(many, truth).best_of_n_pa_mpjpe_mm == pytest.approx(0.0, abs=1e-10)
    same = hypothesis_scores(np.stack([guess, guess], axis=1), truth)
    assert same.best_of_n_pa_mpjpe_mm == pytest.approx(same.average_hypothesis_pa_mpjpe_mm)
    assert same.average_hypothesis_pa_mpjpe_mm == pytest.approx(pa_errors_mm(guess, truth, "official").mean())
    assert (same.n, same.hypotheses) == (6, 2)


def test_pearson():
    a = np.array([1.0, 2.0, 4.0, 3.0])
    assert pearson(a, 2 * a + 1) == pytest.approx(1.0)
    assert pearson(a, -a) == pytest.approx(-1.0)
    assert pearson(a, np.array([0.0, 1.0, 1.0, 5.0])) == pytest.approx(np.corrcoef(a, [0, 1, 1, 5])[0, 1])
    assert np.isnan(pearson(a, np.ones(4)))


def test_hamer_figure_is_the_proper_one_in_single_precision(truth, guess):
    assert hamer_pa_mpjpe_mm(guess, truth) == pytest.approx(pa_errors_mm(guess, truth).mean(), rel=1e-6)


def test_scale_translation_error_in_millimetres(truth):
    shifted = truth.copy()
    shifted[:, 7] += [0.021, 0.0, 0.0]
    assert scale_translation_mpjpe_mm(shifted, truth) == pytest.approx(1.0)


def test_no_hands_is_an_error():
    with pytest.raises(ValueError, match="0 hands"):
        reconstruction_scores(*[np.zeros((0, 21, 3))] * 4)


def test_a_hundred_thousand_hands_take_seconds():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(100_000, 21, 3)) * 0.05
    start = time.perf_counter()
    errors = pa_errors_mm(truth + rng.normal(size=truth.shape) * 0.01, truth)
    assert errors.shape == (100_000,)
    assert time.perf_counter() - start < 20
