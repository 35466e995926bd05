"""Detection scores: counted by hand."""

import numpy as np
import pytest

from eval.detection import detection_scores, keypoint_agreement


def test_three_figures():
    found = np.array([True, True, False, False])
    scores = detection_scores(found, np.array([0.9, 0.7, 0.0, np.nan]))
    assert (scores.n, scores.found, scores.rate_found) == (4, 2, 0.5)
    assert scores.mean_score_found == pytest.approx(0.8)
    assert scores.mean_score_missed_as_zero == pytest.approx(0.4)


def test_nothing_found_and_nothing_shown():
    scores = detection_scores(np.zeros(3, bool), np.zeros(3))
    assert scores.rate_found == scores.mean_score_missed_as_zero == 0.0
    assert np.isnan(scores.mean_score_found)
    with pytest.raises(ValueError, match="0 pictures"):
        detection_scores(np.zeros(0, bool), np.zeros(0))


def test_agreement_counts_only_the_found():
    projected = np.random.default_rng(0).uniform(0, 100, (3, 21, 2))
    detected = projected.copy()
    detected[1] += 8.0  # 11.3 px away
    detected[2] = np.nan
    size, found = np.full(3, 100.0), np.array([True, True, False])
    shares = keypoint_agreement(detected, projected, size, found)
    assert shares == {0.05: 0.5, 0.1: 0.5, 0.15: 1.0}
    assert np.isnan(keypoint_agreement(detected, projected, size, np.zeros(3, bool))[0.1])
