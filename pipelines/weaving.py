"""Samples -> rows: paint in batches, look at every picture, paint anew what fails (DESIGN section 8).

A batch and its retries depend on the batch alone, never on what else is being made, so that the same settings give
the same bytes in any order of work. Looking and encoding run in threads while the next batch is painted.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipelines.choices import Control
from pipelines.hand_row import detection_cell, labels
from pipelines.output import TextToHandImageOutput
from pipelines.prompts import Sample
from pipelines.run_folder import Rejection
from pipelines.shards import Row, png_bytes
from pipelines.text_to_image import TextToHandImagePipeline
from recon.detection import HandDetector


@dataclass(frozen=True)
class WeaveSettings:
    """How samples are made.

    Attributes:
        batch_size: samples painted at once.
        min_confidence: least detection score of a picture that is kept; 0 keeps every picture, found or not.
        max_attempts: pictures painted for a sample before it is given up.
        pipeline: fingerprint to write into the rows.
        painting: arguments for the painting, such as `num_inference_steps`.
    """

    batch_size: int
    min_confidence: float
    max_attempts: int
    pipeline: str
    painting: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Attempt:
    """A painted and looked-at picture."""

    sample: Sample
    number: int
    row: dict[str, Any]
    fault: str | None
    """Why it is not kept."""


class Weaver:
    """Makes the rows of samples; use it as a context manager, for its threads.

    Args:
        pipeline: paints.
        settings: how.
        threads: detectors at work beside the painting.
    """

    def __init__(self, pipeline: TextToHandImagePipeline, settings: WeaveSettings, threads: int = 2) -> None:
        self.pipeline, self.settings = pipeline, settings
        self.seconds = {"painting": 0.0, "waiting for the detector": 0.0}
        self._detectors = [HandDetector() for _ in range(threads)]
        self._free = deque(self._detectors)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="look")

    def __enter__(self) -> "Weaver":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    @property
    def detector(self) -> dict[str, Any]:
        """What looks at the pictures: version, model hash, thresholds."""
        return dict(self._detectors[0].provenance)

    def weave(self, samples: Sequence[Sample]) -> Iterator[Row | Rejection]:
        """A row or a rejection for each sample, in order.

        Args:
            samples: those of one shard; batches are cut from its start.
        """
        size = self.settings.batch_size
        ahead: deque[list[Future[Attempt]]] = deque()
        for start in range(0, len(samples), size):
            ahead.append(self._attempt(samples[start : start + size], 1))
            if len(ahead) > 1:
                yield from self._settle(ahead.popleft())
        for looks in ahead:
            yield from self._settle(looks)

    def _settle(self, looks: list[Future[Attempt]]) -> Iterator[Row | Rejection]:
        """Wait for a batch and paint anew what failed of it, until every sample is kept or given up."""
        settled: dict[int, Row | Rejection] = {}
        while looks:
            failed = []
            for attempt in self._wait(looks):
                sample = attempt.sample
                if attempt.fault is None:
                    settled[sample.index] = attempt.row
                elif attempt.number < self.settings.max_attempts:
                    failed.append(sample)
                else:
                    settled[sample.index] = _rejection(attempt)
            looks = self._attempt(failed, attempt.number + 1) if failed else []
        yield from (settled[index] for index in sorted(settled))

    def _wait(self, looks: list[Future[Attempt]]) -> list[Attempt]:
        start = time.perf_counter()
        attempts = [look.result() for look in looks]
        self.seconds["waiting for the detector"] += time.perf_counter() - start
        return attempts

    def _attempt(self, samples: Sequence[Sample], number: int) -> list[Future[Attempt]]:
        """Paint samples, those of one control at once, and send them to be looked at."""
        looks = []
        for control in dict.fromkeys(sample.control for sample in samples):
            group = [sample for sample in samples if sample.control == control]
            start = time.perf_counter()
            output = self._paint(group, control, number)
            self.seconds["painting"] += time.perf_counter() - start
            looks += [self._pool.submit(self._look, sample, number, output, i) for i, sample in enumerate(group)]
        return looks

    def _paint(self, samples: Sequence[Sample], control: Control, number: int) -> TextToHandImageOutput:
        seeds = [sample.seed(number - 1) for sample in samples]
        prompts = [sample.prompt for sample in samples]
        return self.pipeline(prompts, control=control, seeds=seeds, output_type="np", **self.settings.painting)

    def _look(self, sample: Sample, number: int, output: TextToHandImageOutput, index: int) -> Attempt:
        """Detect the hand in a picture and gather its row."""
        painted = np.asarray(output.images[index])
        image = (np.nan_to_num(painted).clip(0, 1) * 255).round().astype(np.uint8)
        detector = self._free.popleft()
        try:
            hands = detector.detect(image)
        finally:
            self._free.append(detector)
        detection = detection_cell(hands, output.keypoints_2d[index], output.boxes[index])
        fault = self._fault(painted, detection, output.boxes[index])
        row = {**labels(sample, output, index), "image": png_bytes(image), "detection": detection}
        row |= {"seed": sample.seed(number - 1), "attempts": number, "pipeline": self.settings.pipeline}
        return Attempt(sample, number, row, fault)

    def _fault(self, painted: np.ndarray, detection: dict[str, Any], box: np.ndarray) -> str | None:
        least = self.settings.min_confidence
        if not np.isfinite(painted).all():
            return "the picture holds values that are no numbers"
        height, width = painted.shape[:2]
        if not (box[0] < width and box[1] < height and box[2] > 0 and box[3] > 0):
            return "the sampled hand lies outside the picture"
        if least == 0:
            return None
        if not detection["found"]:
            return "no hand found"
        return f"detection score below {least:g}" if detection["score"] < least else None


def _rejection(attempt: Attempt) -> Rejection:
    """A sample given up, with what is needed to try it again."""
    row, sample = attempt.row, attempt.sample
    details = {"sample_id": row["sample_id"], "prompt": sample.prompt, "control_type": sample.control}
    score = row["detection"]["score"]
    details |= {"seed": row["seed"], "attempts": attempt.number, "score": score}
    return Rejection(sample.index, attempt.fault or "", details)
