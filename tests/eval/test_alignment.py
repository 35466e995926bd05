"""Alignment against scipy's Procrustes, and what it must and must not remove."""

import numpy as np
import pytest
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation

from eval.alignment import scale_translation_align, similarity_align


@pytest.fixture
def hands() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(7, 21, 3)) * 0.05


def moved(points: np.ndarray, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rotations = Rotation.random(len(points), rng=rng).as_matrix()
    scale = rng.uniform(0.5, 2.0, (len(points), 1, 1))
    return scale * points @ rotations + rng.normal(size=(len(points), 1, 3))


@pytest.mark.parametrize("alignment", ["official", "proper"])
def test_similarity_is_removed(hands, alignment):
    np.testing.assert_allclose(similarity_align(moved(hands), hands, alignment), hands, atol=1e-12)


def test_only_the_official_alignment_removes_a_mirror(hands):
    mirrored = hands * [-1, 1, 1]
    np.testing.assert_allclose(similarity_align(mirrored, hands, "official"), hands, atol=1e-12)
    assert np.abs(similarity_align(mirrored, hands, "proper") - hands).mean() > 0.01


def test_official_residual_equals_scipy(hands):
    noisy = moved(hands) + np.random.default_rng(2).normal(size=hands.shape) * 0.02
    aligned = similarity_align(noisy, hands, "official")
    for ours, truth, start in zip(aligned, hands, noisy, strict=True):
        centred = truth - truth.mean(0)
        disparity = ((ours - truth) ** 2).sum() / (centred**2).sum()
        assert disparity == pytest.approx(procrustes(truth, start)[2], abs=1e-12)


def test_no_small_change_improves_the_proper_alignment(hands):
    noisy = moved(hands) + np.random.default_rng(3).normal(size=hands.shape) * 0.02
    aligned = similarity_align(noisy, hands)
    best = ((aligned - hands) ** 2).sum((1, 2))
    for turn in Rotation.from_rotvec(np.eye(3) * 1e-3).as_matrix():
        centre = aligned.mean(1, keepdims=True)
        for factor in (0.999, 1.0, 1.001):
            other = factor * (aligned - centre) @ turn + centre
            assert (((other - hands) ** 2).sum((1, 2)) > best).all()


def test_a_batch_equals_singles(hands):
    noisy = moved(hands) + 0.01
    singles = np.concatenate([similarity_align(noisy[i : i + 1], hands[i : i + 1]) for i in range(len(hands))])
    np.testing.assert_allclose(similarity_align(noisy, hands), singles, atol=1e-14)


def test_chunks_do_not_show(hands, monkeypatch):
    noisy = hands + np.random.default_rng(4).normal(size=hands.shape) * 0.02
    whole = similarity_align(noisy, hands)
    monkeypatch.setattr("eval.alignment.CHUNK", 2)
    np.testing.assert_allclose(similarity_align(noisy, hands), whole, atol=1e-14)


def test_collapsed_points_go_to_the_mean(hands):
    collapsed = np.full_like(hands, 0.3)
    expected = np.broadcast_to(hands.mean(1, keepdims=True), hands.shape)
    np.testing.assert_allclose(similarity_align(collapsed, hands), expected, atol=1e-12)


def test_unequal_shapes_are_refused(hands):
    with pytest.raises(Exception, match="agree|p 3"):  # beartype speaks first where it is on
        similarity_align(hands[:, :20], hands)


def test_scale_translation_keeps_rotation(hands):
    ours, truth = scale_translation_align(hands * 3.0 + 5.0, hands)
    np.testing.assert_allclose(ours, truth, atol=1e-12)
    turned, truth = scale_translation_align(hands @ Rotation.from_euler("z", 0.5).as_matrix(), hands)
    assert np.abs(turned - truth).mean() > 0.005
    assert np.linalg.norm(turned[:, 4], axis=-1) == pytest.approx(np.linalg.norm(truth[:, 4], axis=-1))


def test_scale_translation_leaves_a_zero_length_alone(hands):
    broken = hands.copy()
    broken[:, 4] = broken[:, 0]
    ours, _ = scale_translation_align(broken, hands)
    np.testing.assert_allclose(ours, broken - broken[:, :1])
