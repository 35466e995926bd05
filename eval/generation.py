"""Distances between sets of image features: FID-H and KID-H (MMHMR section 4; DESIGN section 9).

The Frechet distance of Gaussians by Cholesky and symmetric eigenvalues, the kernel distance as the full unbiased
estimate with a bootstrap interval, and clean-fid's subset average of it. Who made the features is the caller's affair.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

FID_UNBIASED_FROM = 1000
"""Below this many images FID is too biased to lead with: report KID first."""

BLOCK = 2048  # rows of a kernel matrix held at once


@dataclass(frozen=True)
class FeatureStatistics:
    """Mean and covariance (divisor n - 1) of n feature vectors of width d, float64."""

    n: int
    mean: Float[np.ndarray, "d"]
    covariance: Float[np.ndarray, "d d"]


@dataclass(frozen=True)
class KernelDistance:
    """The unbiased kernel distance of two sets and its bootstrap interval.

    Attributes:
        value: full unbiased estimate; may be slightly negative for equal distributions.
        low: lower end of the interval.
        high: upper end of the interval.
        level: coverage of the interval, such as 0.95.
        n_a: vectors in the first set.
        n_b: vectors in the second set.
    """

    value: float
    low: float
    high: float
    level: float
    n_a: int
    n_b: int


class RunningStatistics:
    """Mean and covariance of features that arrive in batches, in memory that does not grow (Chan et al., 1979)."""

    def __init__(self, width: int) -> None:
        """Starts empty, for features of the given width."""
        self.n = 0
        self._mean = np.zeros(width)
        self._scatter = np.zeros((width, width))

    def add(self, features: Float[np.ndarray, "n d"]) -> None:
        """Takes in a batch of feature vectors."""
        if not len(features):
            return
        batch = features.astype(np.float64)
        mean, total = batch.mean(0), self.n + len(batch)
        centred, shift = batch - mean, mean - self._mean
        self._scatter += centred.T @ centred + np.outer(shift, shift) * (self.n * len(batch) / total)
        self._mean += shift * (len(batch) / total)
        self.n = total

    def statistics(self) -> FeatureStatistics:
        """The statistics so far.

        Raises:
            ValueError: with fewer than 2 vectors, which have no covariance.
        """
        if self.n < 2:
            raise ValueError(f"a covariance needs at least 2 feature vectors, got {self.n}")
        return FeatureStatistics(self.n, self._mean.copy(), self._scatter / (self.n - 1))


def feature_statistics(features: Float[np.ndarray, "n d"]) -> FeatureStatistics:
    """Mean and covariance of feature vectors held in one array; ValueError with fewer than 2."""
    if len(features) < 2:
        raise ValueError(f"a covariance needs at least 2 feature vectors, got {len(features)}")
    features = features.astype(np.float64)
    return FeatureStatistics(len(features), features.mean(0), np.atleast_2d(np.cov(features, rowvar=False)))


def _factor(covariance: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """A matrix F with F F^T = covariance: Cholesky, or the symmetric eigenbasis where the covariance is singular."""
    try:
        return np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        return vectors * np.sqrt(values.clip(min=0.0))


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """Squared Frechet (2-Wasserstein) distance of two Gaussians.

    With A = F F^T, the trace of sqrt(A B) is the sum of the roots of the eigenvalues of the symmetric F^T B F, so that
    no matrix root of an unsymmetric product is taken. Fewer vectors than dimensions (a singular A) are allowed.

    Raises:
        ValueError: when the widths differ.
    """
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"feature widths differ: {a.mean.size} and {b.mean.size}; use one extractor for both sets")
    factor = _factor(a.covariance)
    eigenvalues = np.linalg.eigvalsh(factor.T @ b.covariance @ factor)
    cross = np.sqrt(eigenvalues.clip(min=0.0)).sum()
    difference = a.mean - b.mean
    return float(difference @ difference + np.trace(a.covariance) + np.trace(b.covariance) - 2.0 * cross)


def fid(features_a: Float[np.ndarray, "n d"], features_b: Float[np.ndarray, "m d"]) -> float:
    """Frechet distance of two feature sets; ValueError when widths differ or a set has fewer than 2 vectors."""
    return frechet_distance(feature_statistics(features_a), feature_statistics(features_b))


def cubic_kernel(a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "n m"]:
    """KID's polynomial kernel (a.b / d + 1)^3."""
    return (a @ b.T / a.shape[1] + 1.0) ** 3


def _check_kernel_sets(features_a: np.ndarray, features_b: np.ndarray) -> None:
    """ValueError unless both sets have at least 2 vectors of one width."""
    if features_a.shape[1] != features_b.shape[1]:
        widths = f"{features_a.shape[1]} and {features_b.shape[1]}"
        raise ValueError(f"feature widths differ: {widths}; use one extractor for both sets")
    if min(len(features_a), len(features_b)) < 2:
        raise ValueError(f"KID needs at least 2 vectors per set, got {len(features_a)} and {len(features_b)}")


def _pair_sums(
    a: np.ndarray, b: np.ndarray, weights_a: np.ndarray, weights_b: np.ndarray, same: bool
) -> Float[np.ndarray, "r"]:
    """Weighted kernel sums over all pairs, a figure per row of weights [r, n], [r, m]; no self-pairs when `same`."""
    total = np.zeros(len(weights_a))
    for start in range(0, len(a), BLOCK):
        rows = slice(start, start + BLOCK)
        block = cubic_kernel(a[rows], b)
        if same:
            block[np.arange(len(block)), np.arange(start, start + len(block))] = 0.0
        total += np.einsum("rm,rm->r", weights_a[:, rows] @ block, weights_b)
    return total


def _resample(n: int, resamples: int, generator: np.random.Generator) -> np.ndarray:
    """Row 0 counts every vector once (the estimate itself); the others are bootstrap counts, [resamples + 1, n]."""
    counts = generator.multinomial(n, np.full(n, 1.0 / n), size=resamples).astype(np.float64)
    return np.concatenate([np.ones((1, n)), counts])


def kid(
    features_a: Float[np.ndarray, "n d"],
    features_b: Float[np.ndarray, "m d"],
    resamples: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> KernelDistance:
    """The full unbiased kernel distance (squared MMD, cubic kernel) with a percentile bootstrap interval.

    All pairs are used, so the value does not depend on subsets or a seed. In a resample a vector drawn twice is not
    paired with itself, which keeps the resampled estimates centred on the value.

    Args:
        features_a: first set.
        features_b: second set.
        resamples: bootstrap resamples for the interval.
        level: coverage of the interval, in 0..1.
        seed: of the resampling.

    Returns:
        The value and its interval.

    Raises:
        ValueError: when widths differ or a set has fewer than 2 vectors.
    """
    _check_kernel_sets(features_a, features_b)
    a, b = features_a.astype(np.float64), features_b.astype(np.float64)
    generator = np.random.default_rng(seed)
    w_a, w_b = _resample(len(a), resamples, generator), _resample(len(b), resamples, generator)
    pairs_a, pairs_b = w_a.sum(1) ** 2 - (w_a**2).sum(1), w_b.sum(1) ** 2 - (w_b**2).sum(1)
    # Two vectors can be drawn as one pair of copies only; such a resample has no pair and says nothing.
    told = (pairs_a > 0) & (pairs_b > 0)
    w_a, w_b = w_a[told], w_b[told]
    values = (
        _pair_sums(a, a, w_a, w_a, same=True) / pairs_a[told]
        + _pair_sums(b, b, w_b, w_b, same=True) / pairs_b[told]
        - 2.0 * _pair_sums(a, b, w_a, w_b, same=False) / (len(a) * len(b))
    )
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(values[1:], [tail, 1.0 - tail]) if len(values) > 1 else (values[0], values[0])
    return KernelDistance(float(values[0]), float(low), float(high), level, len(a), len(b))


def kid_subsets(
    features_a: Float[np.ndarray, "n d"],
    features_b: Float[np.ndarray, "m d"],
    num_subsets: int = 100,
    max_subset_size: int = 1000,
    seed: int = 0,
) -> float:
    """KID as clean-fid computes it: the mean over random subsets, drawn in the same order from the same generator.

    Args:
        features_a: first set.
        features_b: second set.
        num_subsets: number of subsets.
        max_subset_size: vectors per subset, at most the smaller set.
        seed: of numpy's legacy generator, as `numpy.random.seed` before clean-fid's call.

    Returns:
        The mean squared MMD.

    Raises:
        ValueError: when widths differ or a set has fewer than 2 vectors.
    """
    _check_kernel_sets(features_a, features_b)
    random = np.random.RandomState(seed)
    size = min(len(features_a), len(features_b), max_subset_size)
    total = 0.0
    for _ in range(num_subsets):
        x = features_b[random.choice(len(features_b), size, replace=False)].astype(np.float64)
        y = features_a[random.choice(len(features_a), size, replace=False)].astype(np.float64)
        within = cubic_kernel(x, x) + cubic_kernel(y, y)
        total += (within.sum() - np.trace(within)) / (size - 1) - 2.0 * cubic_kernel(x, y).sum() / size
    return float(total / num_subsets / size)
