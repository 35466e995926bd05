"""Feature distances: the golden results, closed forms, clean-fid as the oracle, statistical honesty."""

import numpy as np
import pytest

from eval.generation import (
    FeatureStatistics,
    RunningStatistics,
    cubic_kernel,
    feature_statistics,
    fid,
    frechet_distance,
    kid,
    kid_subsets,
)
from tests.eval.golden import load_golden


def features(n: int, width: int = 8, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(width, width)) / width**0.5
    return rng.normal(size=(n, width)) @ mixing + shift


def test_golden():
    arrays, expected = load_golden("generation_metrics")
    a, b = arrays["features_a"], arrays["features_b"]
    assert fid(a, b) == pytest.approx(expected["fid_cleanfid"], rel=0, abs=1e-9)
    assert kid(a, b).value == pytest.approx(expected["kid_full_unbiased"], rel=0, abs=1e-9)
    subsets = kid_subsets(a, b, num_subsets=100, max_subset_size=100)
    assert subsets == pytest.approx(expected["kid_cleanfid_100x100_np_random_seed_0"], rel=0, abs=1e-9)


def test_clean_fid_agrees():
    oracle = pytest.importorskip("cleanfid.fid", reason="clean-fid is a development dependency")
    a, b = features(60), features(70, shift=0.3, seed=1)
    stats_a, stats_b = feature_statistics(a), feature_statistics(b)
    reference = oracle.frechet_distance(stats_a.mean, stats_a.covariance, stats_b.mean, stats_b.covariance)
    assert fid(a, b) == pytest.approx(reference, abs=1e-9)
    np.random.seed(5)
    reference = oracle.kernel_distance(a, b, num_subsets=10, max_subset_size=30)
    assert kid_subsets(a, b, num_subsets=10, max_subset_size=30, seed=5) == pytest.approx(reference, abs=1e-12)


def test_frechet_closed_form_of_commuting_gaussians():
    variances_a, variances_b = np.array([1.0, 4.0, 0.25]), np.array([9.0, 1.0, 0.0])
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    a = FeatureStatistics(10, np.array([1.0, 2.0, 3.0]), (basis * variances_a) @ basis.T)
    b = FeatureStatistics(10, np.array([1.0, 0.0, 4.0]), (basis * variances_b) @ basis.T)
    expected = 5.0 + ((variances_a**0.5 - variances_b**0.5) ** 2).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, abs=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, abs=1e-7)  # b is singular: the eigenbasis factor


def test_fid_is_zero_on_itself_and_moves_with_the_mean():
    a = features(50)
    assert fid(a, a) == pytest.approx(0.0, abs=1e-9)
    assert fid(a, a + 2.0) == pytest.approx(4.0 * a.shape[1])


def test_fid_with_fewer_vectors_than_dimensions():
    a, b = features(20, width=64), features(30, width=64, seed=1)
    # The trace of sqrt(A B) is the nuclear norm of the product of the centred data.
    centred = [(x - x.mean(0)) / (len(x) - 1) ** 0.5 for x in (a, b)]
    cross = np.linalg.norm(centred[0] @ centred[1].T, "nuc")
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + sum((x**2).sum() for x in centred) - 2 * cross
    assert fid(a, b) == pytest.approx(expected, abs=1e-5)


def test_batches_add_up():
    a = features(101, shift=50.0)
    running = RunningStatistics(a.shape[1])
    for part in np.split(a, [0, 1, 40, 90]):
        running.add(part)
    whole, streamed = feature_statistics(a), running.statistics()
    assert streamed.n == 101
    np.testing.assert_allclose(streamed.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(streamed.covariance, whole.covariance, atol=1e-11)


def naive_kid(a: np.ndarray, b: np.ndarray) -> float:
    aa, bb, ab = cubic_kernel(a, a), cubic_kernel(b, b), cubic_kernel(a, b)
    n, m = len(a), len(b)
    return (aa.sum() - np.trace(aa)) / (n * (n - 1)) + (bb.sum() - np.trace(bb)) / (m * (m - 1)) - 2 * ab.mean()


def test_kid_equals_the_naive_sum_in_any_block(monkeypatch):
    a, b = features(40), features(33, shift=0.2, seed=1)
    whole = kid(a, b, resamples=20)
    assert whole.value == pytest.approx(naive_kid(a, b), abs=1e-12)
    monkeypatch.setattr("eval.generation.BLOCK", 7)
    blocks = kid(a, b, resamples=20)
    assert (blocks.value, blocks.low, blocks.high) == pytest.approx((whole.value, whole.low, whole.high), abs=1e-12)


def test_kid_is_unbiased_and_its_interval_covers():
    estimates = [kid(features(40, seed=2 * s), features(40, seed=2 * s + 1), resamples=60) for s in range(120)]
    values = np.array([e.value for e in estimates])
    assert abs(values.mean()) < 3 * values.std() / len(values) ** 0.5
    assert np.mean([e.low <= 0.0 <= e.high for e in estimates]) > 0.85
    assert np.mean([e.low <= e.value <= e.high for e in estimates]) > 0.95


def test_kid_tells_shifted_sets_apart():
    far = kid(features(80), features(80, shift=1.0, seed=1), resamples=60)
    assert far.low > 0.0
    assert (far.n_a, far.n_b, far.level) == (80, 80, 0.95)


def test_wrong_inputs_are_refused():
    with pytest.raises(ValueError, match="widths differ: 8 and 4"):
        frechet_distance(feature_statistics(features(5)), feature_statistics(features(5, width=4)))
    for score in (fid, kid, kid_subsets):
        with pytest.raises((ValueError, TypeError)):  # the checks of shapes speak first in the tests
            score(features(5), features(5, width=4))
        with pytest.raises(ValueError, match="at least 2"):
            score(features(1), features(5))
    with pytest.raises(ValueError, match="at least 2"):
        RunningStatistics(3).statistics()
