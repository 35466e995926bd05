"""Measures a set of hand pictures as they come: crops, features, detection, PCK, sharpness (DESIGN section 9).

Batches go through the extractor, a sample of the features is kept: memory does not grow with the number of pictures.
"""

from collections.abc import Iterable

import numpy as np

from eval.detection import detection_scores, keypoint_agreement
from eval.generation import RunningStatistics
from eval.sharpness import laplacian_variance
from pipelines.crops import clean_resize, square_crop
from pipelines.extractors import FeatureExtractor
from pipelines.hand_pictures import HandPicture
from pipelines.image_set import KEPT_FEATURES, ImageSet, SetFigures
from recon.detection import HandDetection, HandDetector


class _Sample:
    """A uniform sample of fixed size from a stream (reservoir sampling), the same for the same stream."""

    def __init__(self, size: int) -> None:
        self._size, self._seen = size, 0
        self._random = np.random.default_rng(0)
        self.kept: list[np.ndarray] = []

    def add(self, vector: np.ndarray) -> None:
        """Take in one vector."""
        self._seen += 1
        if len(self.kept) < self._size:
            self.kept.append(vector)
        elif (place := int(self._random.integers(self._seen))) < self._size:
            self.kept[place] = vector


class SetMeter:
    """Takes pictures one by one and gives the `ImageSet` at the end.

    Args:
        extractor: makes the features.
        detector: looks for hands; None leaves detection and PCK out, and crops only where the box is known.
        batch_size: crops that go through the extractor at once.
    """

    def __init__(self, extractor: FeatureExtractor, detector: HandDetector | None, batch_size: int = 32) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; allowed is 1 or more.")
        self._extractor, self._detector, self._batch_size = extractor, detector, batch_size
        self._crops: list[np.ndarray] = []
        self._running: RunningStatistics | None = None
        self._sample = _Sample(KEPT_FEATURES)
        self._n = self._side = self._by_label = self._by_detector = 0
        self._scores: list[float] = []  # a float per picture: the only things that grow
        self._sharpness: list[float] = []
        self._agreement: list[tuple[float, ...]] = []
        self._thresholds: tuple[float, ...] = ()

    def add(self, picture: HandPicture) -> None:
        """Measure one picture."""
        self._n += 1
        self._side = self._side or max(picture.image.shape[:2])
        detection = self._detect(picture)
        if picture.mask is not None:
            sharpness = float(laplacian_variance(picture.image[None], picture.mask[None])[0])
            if np.isfinite(sharpness):
                self._sharpness.append(sharpness)
        box = picture.box
        if box is not None:
            self._by_label += 1
        elif detection is not None:
            box = detection.box
            self._by_detector += 1
        if box is not None:
            self._crops.append(clean_resize(square_crop(picture.image, box), self._extractor.size))
            if len(self._crops) == self._batch_size:
                self._extract()

    def _detect(self, picture: HandPicture) -> HandDetection | None:
        """The hand found: the one nearest to the known joints, else the one with the best score."""
        if self._detector is None:
            return None
        hands = self._detector.detect(picture.image)
        truth = picture.keypoints_2d
        if not hands:
            self._scores.append(float("nan"))
            return None
        if truth is None:
            self._scores.append(hands[0].score)
            return hands[0]
        hand = min(hands, key=lambda hand: float(np.linalg.norm(hand.keypoints_2d[:, :2] - truth, axis=-1).mean()))
        self._scores.append(hand.score)
        size = (truth.max(0) - truth.min(0)).max(keepdims=True)
        shares = keypoint_agreement(hand.keypoints_2d[None, :, :2], truth[None], size, np.ones(1, bool))
        self._thresholds = tuple(shares)
        self._agreement.append(tuple(shares.values()))
        return hand

    def _extract(self) -> None:
        features = self._extractor(np.stack(self._crops))
        self._crops.clear()
        self._running = self._running or RunningStatistics(features.shape[1])
        self._running.add(features)
        for vector in features:
            self._sample.add(vector)

    def image_set(self, name: str) -> ImageSet:
        """The set as measured so far.

        Raises:
            ValueError: when it holds no picture.
        """
        if not self._n:
            raise ValueError(f"{name} holds no picture; at least 1 is needed")
        if self._crops:
            self._extract()
        scores = np.array(self._scores)
        agreement = np.mean(self._agreement, axis=0).tolist() if self._agreement else []
        figures = SetFigures(
            name=name,
            n=self._n,
            side=self._side,
            crops_by_label=self._by_label,
            crops_by_detector=self._by_detector,
            detection=detection_scores(np.isfinite(scores), scores) if self._detector else None,
            detector=self._detector.provenance if self._detector else {},
            pck={f"{t:g}": share for t, share in zip(self._thresholds, agreement, strict=True)} or None,
            n_pck=len(self._agreement),
            sharpness=float(np.median(self._sharpness)) if self._sharpness else None,
            n_sharpness=len(self._sharpness),
        )
        kept = self._sample.kept
        features = np.stack(kept).astype(np.float32) if kept else np.zeros((0, 0), np.float32)
        statistics = self._running.statistics() if self._running is not None and self._running.n > 1 else None
        return ImageSet(figures, self._extractor.name, self._extractor.fingerprint, statistics, features)


def measure(
    pictures: Iterable[HandPicture],
    extractor: FeatureExtractor,
    detector: HandDetector | None,
    name: str,
    batch_size: int = 32,
) -> ImageSet:
    """Measure pictures as they come; arguments as of `SetMeter` and `SetMeter.image_set`."""
    meter = SetMeter(extractor, detector, batch_size)
    for picture in pictures:
        meter.add(picture)
    return meter.image_set(name)
