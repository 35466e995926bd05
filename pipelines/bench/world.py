"""`handloom bench world`: how many rendered hands MediaPipe finds, how exactly, how fast drawn (section 5).

Nothing is filtered: every scene that comes is drawn, shown to the detector once and counted.
"""

import logging
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from eval.detection import detection_scores, keypoint_agreement
from pipelines.render import drawing
from recon.detection import HandDetector
from recon.files import write_json_atomic
from synth.world.sample import WorldSample
from synth.world.world import World

FACING = ("palm", "back")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WorldFigures:
    """What was measured."""

    size: int
    """Pixels."""
    facing: int
    """Pictures that show a palm or a back."""
    found_facing: float
    """Share of them in which a hand is found."""
    others: int
    """Pictures from the side, the fingertips or the wrist."""
    found_others: float | None
    mean_score: float
    """Handedness score over the found."""
    pck_01: float
    """Share of the found keypoints within 0.1 of the box's longer side of the projected joints."""
    side_right: float
    """Share of the found hands whose side the detector names rightly."""
    samples_per_second: float
    """Drawn with all labels and packed as rows by `num_workers` processes, start-up left out."""
    num_workers: int
    median_ms: float
    """To draw one sample with its labels on one thread."""
    detector: dict[str, str | float | int]
    """MediaPipe's version, model and thresholds."""


def world(
    *, num_images: int = 1000, size: int = 256, seed: int = 1, num_workers: int = 2, out: Path | None = None
) -> int | None:
    """Measure the rendered world: detection by MediaPipe at threshold 0.5, and drawing speed.

    Args:
        num_images: pictures that show a palm or a back; the others that come between them are counted apart.
        size: side of the pictures in pixels.
        seed: of the world; its test split is used.
        num_workers: drawing processes for the rate.
        out: a JSON file for the figures.
    """
    figures = measure(num_images, size, seed, num_workers)
    table = Table("figure", "value", title=f"{figures.facing} rendered hands at {size} pixels")
    for name, value in asdict(figures).items():
        table.add_row(name, f"{value:.3f}" if isinstance(value, float) else str(value))
    Console().print(table)
    if out is not None:
        write_json_atomic(out, asdict(figures))
    return None


def measure(num_images: int, size: int, seed: int, num_workers: int) -> WorldFigures:
    """All figures; arguments as of `world`.

    Raises:
        ValueError: fewer than one picture.
    """
    if num_images < 1:
        raise ValueError(f"--num-images is {num_images}; at least 1 picture must be looked at.")
    source, detector = World(seed, size, "test"), HandDetector(0.5)
    source.render(source.scene(0))
    found: dict[bool, list[bool]] = {True: [], False: []}
    scores, sides, detected, projected, extents, times = [], [], [], [], [], []
    index = 0
    with tqdm(total=num_images, unit="image", disable=None) as bar:
        while len(found[True]) < num_images:
            start = time.perf_counter()
            sample = source.render(source.scene(index))
            times.append(time.perf_counter() - start)
            index += 1
            hands = detector.detect(sample.image)
            facing = sample.scene.palm in FACING
            found[facing].append(bool(hands))
            bar.update(facing)
            if hands:
                errors = [_mean_error(hand.keypoints_2d, sample) for hand in hands]
                hand = hands[int(np.argmin(errors))]
                scores.append(hand.score)
                sides.append(hand.is_right == sample.scene.is_right)
                detected.append(hand.keypoints_2d[:, :2])
                projected.append(sample.keypoints_2d[:, :2])
                extents.append(max(sample.box[2] - sample.box[0], sample.box[3] - sample.box[1]))
    hits = np.ones(len(scores), bool)
    agreement = keypoint_agreement(np.stack(detected), np.stack(projected), np.array(extents), hits, (0.1,))
    return WorldFigures(
        size=size,
        facing=num_images,
        found_facing=float(np.mean(found[True])),
        others=len(found[False]),
        found_others=float(np.mean(found[False])) if found[False] else None,
        mean_score=detection_scores(hits, np.array(scores)).mean_score_found,
        pck_01=float(agreement[0.1]),
        side_right=float(np.mean(sides)),
        samples_per_second=_rate(source, num_workers, min(200, max(24, num_images))),
        num_workers=num_workers,
        median_ms=1e3 * statistics.median(times),
        detector=dict(detector.provenance),
    )


def _mean_error(keypoints: np.ndarray, sample: WorldSample) -> float:
    return float(np.linalg.norm(keypoints[:, :2] - sample.keypoints_2d[:, :2], axis=1).mean())


def _rate(source: World, num_workers: int, count: int) -> float:
    """Rows per second once every process has drawn its first."""
    warm_up = 8 * num_workers
    with drawing(source, num_workers) as rows:
        stream = iter(rows(range(warm_up + count)))
        for _ in range(warm_up):
            next(stream)
        start = time.perf_counter()
        done = sum(1 for _ in stream)
    return done / (time.perf_counter() - start)
