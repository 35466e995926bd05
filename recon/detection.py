"""MediaPipe as the hand detector: image to boxes, sides, 21 keypoints and scores.

The only file that imports MediaPipe. It finds the hands in photos for the estimators, and it is the judge of
generated ones (detection rate and confidence, MMHMR section 4).
"""

import atexit
import contextlib
import hashlib
import importlib.metadata
import logging
import os
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass

import mediapipe
import numpy as np
from jaxtyping import Float32, UInt8
from mediapipe.tasks.python.core.base_options import BaseOptions
from mediapipe.tasks.python.vision.hand_landmarker import HandLandmarker, HandLandmarkerOptions

from recon.assets import asset_path

logger = logging.getLogger(__name__)

_start = threading.Lock()
_warmed_up = False
_open_landmarkers: "weakref.WeakSet[HandLandmarker]" = weakref.WeakSet()


@atexit.register
def _leave_open() -> None:
    """Spare MediaPipe its clean-up at the interpreter's end, which comes too late for it and prints tracebacks."""
    for landmarker in _open_landmarkers:
        landmarker._handle = None


@dataclass(frozen=True)
class HandDetection:
    """One hand that was found in an image."""

    is_right: bool  # the hand's true side; holds for photos that are not mirrored
    score: float  # MediaPipe's handedness score, in [0.5, 1]
    box: Float32[np.ndarray, "4"]  # x0, y0, x1, y1 around the keypoints, pixels, may reach out of the image
    keypoints_2d: Float32[
        np.ndarray, "21 3"
    ]  # x, y in pixels (pixel centres at +0.5), and the score: no own one exists


class HandDetector:
    """MediaPipe's HandLandmarker on single images.

    An object may be shared by threads (calls then wait for each other); processes need one each, made after the fork.

    Args:
        min_confidence: least palm detection and hand presence score, in [0, 1].
        max_hands: most hands per image, at least 1.

    Raises:
        AssetError: the model file is missing or altered.
        ValueError: an argument out of its range.
    """

    def __init__(self, min_confidence: float = 0.5, max_hands: int = 2) -> None:
        if not 0 <= min_confidence <= 1:
            raise ValueError(f"min_confidence is {min_confidence}; allowed is 0 to 1.")
        if max_hands < 1:
            raise ValueError(f"max_hands is {max_hands}; allowed is 1 or more.")
        model = asset_path("hand-landmarker").read_bytes()
        self._lock = threading.Lock()
        self.provenance: dict[str, str | float | int] = {
            "detector": "mediapipe-hand-landmarker",
            "mediapipe": importlib.metadata.version("mediapipe"),
            "model_sha256": hashlib.sha256(model).hexdigest(),
            "min_confidence": min_confidence,
            "max_hands": max_hands,
        }
        with _start, _quiet_stderr():
            _warm_up(model)
            self._landmarker = _landmarker(model, min_confidence, max_hands)
            self._landmarker.detect(_image(np.zeros((8, 8, 3), np.uint8)))
        _open_landmarkers.add(self._landmarker)

    def detect(self, image: UInt8[np.ndarray, "h w 3"]) -> tuple[HandDetection, ...]:
        """The hands in an RGB image, best score first.

        Args:
            image: [h, w, 3], RGB.

        Returns:
            At most `max_hands` detections; empty when none is found.
        """
        height, width = image.shape[:2]
        if height == 0 or width == 0:
            raise ValueError(f"The image is {width} x {height} pixels; allowed is 1 x 1 or more.")
        with self._lock:
            result = self._landmarker.detect(_image(image))
        hands = []
        for landmarks, sides in zip(result.hand_landmarks, result.handedness, strict=True):
            score = float(sides[0].score)
            keypoints = np.array([(point.x * width, point.y * height, score) for point in landmarks], np.float32)
            box = np.concatenate([keypoints[:, :2].min(0), keypoints[:, :2].max(0)])
            # The tasks API names the true side (the older solutions API named that of a mirrored selfie).
            hands.append(HandDetection(sides[0].category_name == "Right", score, box, keypoints))
        return tuple(sorted(hands, key=lambda hand: -hand.score))


def _image(image: np.ndarray) -> mediapipe.Image:
    return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image))


def _landmarker(model: bytes, min_confidence: float, max_hands: int) -> HandLandmarker:
    return HandLandmarker.create_from_options(
        HandLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=model),
            num_hands=max_hands,
            min_hand_detection_confidence=min_confidence,
            min_hand_presence_confidence=min_confidence,
        )
    )


def _warm_up(model: bytes) -> None:
    """Make MediaPipe say here, once per process, what it says on the first hand it sees.

    A threshold of 0 takes anything for a hand; the notices are for MediaPipe's developers.
    """
    global _warmed_up
    if not _warmed_up:
        noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
        with _landmarker(model, 0.0, 1) as landmarker:
            landmarker.detect(_image(noise))
        _warmed_up = True


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Turn what native code writes to standard error into debug log records."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as caught:
        kept = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            for line in caught.read().decode(errors="replace").splitlines():
                logger.debug("mediapipe: %s", line)
