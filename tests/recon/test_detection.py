"""The detector on real photographs: sides, places, silence, threads."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from recon.assets import AssetError, asset_path
from recon.files import open_image

try:
    asset_path("hand-landmarker")
except AssetError as error:
    pytest.skip(str(error), allow_module_level=True)

from recon.detection import HandDetection, HandDetector

# Which of the person's hands is up, as seen by a human: the hand on the viewer's right is the person's left one.
RAISED = {"call_1": "left", "four_1": "left", "rock_4": "left", "four_5": "right", "none_2": "right", "rock_5": "right"}


@pytest.fixture(scope="module")
def detector() -> HandDetector:
    return HandDetector()


@pytest.fixture(scope="module")
def photos(real_hands: Path) -> dict[str, np.ndarray]:
    return {name: np.asarray(open_image(real_hands / "gestures" / f"{name}.jpg")) for name in RAISED}


def test_sides_are_the_persons_own(detector: HandDetector, photos: dict[str, np.ndarray]) -> None:
    for name, photo in photos.items():
        (hand, *_) = detector.detect(photo)
        assert hand.is_right == (RAISED[name] == "right"), name
        width = photo.shape[1]
        assert (hand.box[[0, 2]].mean() < width / 2) == hand.is_right, name  # facing us: right hand on our left


def test_mirroring_the_photo_swaps_the_side_and_mirrors_the_keypoints(
    detector: HandDetector, photos: dict[str, np.ndarray]
) -> None:
    photo = photos["four_5"]
    hand, mirrored = detector.detect(photo)[0], detector.detect(photo[:, ::-1])[0]
    assert hand.is_right and not mirrored.is_right
    size = np.ptp(hand.keypoints_2d[:, :2], axis=0).max()
    back = mirrored.keypoints_2d[:, :2] * [-1, 1] + [photo.shape[1], 0]
    assert np.abs(back - hand.keypoints_2d[:, :2]).mean() < 0.05 * size


def test_order_is_wrist_to_little_finger_tip(detector: HandDetector, photos: dict[str, np.ndarray]) -> None:
    """An upright open hand: the wrist is lowest, the middle tip above its base, the box around all."""
    hand = detector.detect(photos["four_5"])[0]
    x, y = hand.keypoints_2d[:, 0], hand.keypoints_2d[:, 1]
    assert y.argmax() == 0 and all(y[tip] < y[base] for tip, base in ((8, 5), (12, 9), (16, 13), (20, 17)))
    assert np.allclose(hand.box, [x.min(), y.min(), x.max(), y.max()])
    assert 0.5 <= hand.score <= 1 and np.all(hand.keypoints_2d[:, 2] == np.float32(hand.score))


def test_padding_moves_keypoints_by_as_much(detector: HandDetector, photos: dict[str, np.ndarray]) -> None:
    photo = photos["rock_5"]
    padded = np.pad(photo, ((40, 0), (0, 128), (0, 0)))
    before, after = detector.detect(photo)[0].keypoints_2d, detector.detect(padded)[0].keypoints_2d
    assert np.abs(after[:, :2] - before[:, :2] - [0, 40]).mean() < 3


def test_threads_share_a_detector(detector: HandDetector, photos: dict[str, np.ndarray]) -> None:
    def keypoints(photo: np.ndarray) -> list[list[float]]:
        return [hand.keypoints_2d.tolist() for hand in detector.detect(photo)]

    alone = [keypoints(photo) for photo in photos.values()]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(keypoints, photos.values())) == alone


def test_nothing_is_found_in_nothing(detector: HandDetector) -> None:
    for shape in ((1, 1, 3), (300, 2, 3), (128, 128, 3)):
        assert detector.detect(np.full(shape, 127, np.uint8)) == ()
    with pytest.raises(ValueError, match="0 x 5 pixels"):
        detector.detect(np.zeros((5, 0, 3), np.uint8))


def test_arguments_out_of_range() -> None:
    with pytest.raises(ValueError, match="min_confidence is 1.5"):
        HandDetector(min_confidence=1.5)
    with pytest.raises(ValueError, match="max_hands is 0"):
        HandDetector(max_hands=0)


def test_provenance_names_the_model_and_the_thresholds(detector: HandDetector) -> None:
    assert detector.provenance["model_sha256"] == "1ae5a1f281c8a9dcc147d9993408fc187756205dde3c1bc014bb3ce69ecaba82"
    assert detector.provenance["min_confidence"] == 0.5 and "mediapipe" in detector.provenance
    assert HandDetection.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_a_program_that_detects_prints_nothing(real_hands: Path, repository: Path) -> None:
    """MediaPipe's own notices stay out of a user's terminal, from the first hand to the end of the program."""
    program = (
        "import sys, numpy as np; from recon.detection import HandDetector; from recon.files import open_image\n"
        "assert HandDetector().detect(np.asarray(open_image(sys.argv[1])))\n"
        "print('still heard', file=sys.stderr)"
    )
    command = [sys.executable, "-c", program, str(real_hands / "gestures" / "four_5.jpg")]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "still heard\n")
