"""Text-to-mesh scores: naive references, zero on the truth, spread and class."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from eval.text_to_mesh import diversity_mm, nearest_class, nearest_class_rate, surface_distances, text_to_mesh_scores


@pytest.fixture
def meant() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, 30, 3)) * 0.05


def samples_of(meant: np.ndarray, noise: float, n: int = 4) -> np.ndarray:
    return meant[:, None] + np.random.default_rng(1).normal(size=(len(meant), n, *meant.shape[1:])) * noise


def test_the_truth_scores_zero(meant):
    scores = text_to_mesh_scores(samples_of(meant, 0.0), meant)
    assert (scores.texts, scores.samples) == (3, 4)
    assert scores.chamfer_mean == scores.hausdorff_mean == scores.hausdorff_deviation == 0.0
    assert scores.pa_mpvpe_mm_mean == pytest.approx(0.0, abs=1e-10)
    assert scores.diversity_mm == pytest.approx(0.0, abs=1e-10)


def test_surface_distances_equal_all_pairs(meant):
    guess = samples_of(meant, 0.01)[:, 0]
    chamfer, hausdorff = surface_distances(guess, meant)
    for i in range(len(meant)):
        pairs = cdist(guess[i], meant[i])
        assert chamfer[i] == pytest.approx((pairs.min(0) ** 2).mean() + (pairs.min(1) ** 2).mean())
        assert hausdorff[i] == pytest.approx(max(pairs.min(0).max(), pairs.min(1).max()))


def test_the_order_of_points_does_not_matter_to_surfaces(meant):
    guess = samples_of(meant, 0.01)[:, 0]
    shuffled = guess[:, np.random.default_rng(2).permutation(guess.shape[1])]
    np.testing.assert_allclose(surface_distances(shuffled, meant), surface_distances(guess, meant))


def test_deviation_is_over_the_samples_of_a_text(meant):
    alike = np.repeat((meant + np.array([0.01, 0.02, 0.03])[:, None, None])[:, None], 5, axis=1)
    scores = text_to_mesh_scores(alike, meant)
    assert scores.hausdorff_mean > 0.0
    assert scores.hausdorff_deviation == pytest.approx(0.0, abs=1e-15)
    assert text_to_mesh_scores(samples_of(meant, 0.01), meant).hausdorff_deviation > 0.0


def test_diversity_grows_with_the_spread(meant):
    small, large = (diversity_mm(samples_of(meant, noise)[0]) for noise in (0.002, 0.01))
    assert 0.0 < small < large
    assert diversity_mm(meant[:1]) == 0.0


def test_nearest_class(meant):
    samples = samples_of(meant, 0.005)
    asked = np.repeat(np.arange(3), 4)
    flat = samples.reshape(12, 30, 3)
    assert nearest_class_rate(flat, asked, meant) == 1.0
    assert nearest_class_rate(flat, (asked + 1) % 3, meant) == 0.0
    upside_down = flat * [-1, -1, 1]
    assert nearest_class_rate(upside_down, asked, meant) == 1.0
    assert (nearest_class(upside_down, meant, align=False) == asked).mean() < 1.0


def test_nothing_to_score_is_an_error(meant):
    with pytest.raises(ValueError, match="0 samples"):
        text_to_mesh_scores(np.zeros((3, 0, 30, 3)), meant)
