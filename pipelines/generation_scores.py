"""A set of hand pictures beside its reference: KID-H, FID-H and the figures of both sets (DESIGN section 9).

The figures stand side by side, because none says enough alone: a blurred picture passes a detector more easily than a
sharp one.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from eval.generation import FID_UNBIASED_FROM, KernelDistance, frechet_distance, kid
from pipelines.image_set import ImageSet, SetFigures
from recon.files import FileError


class ReferenceMismatchError(FileError):
    """A reference that was measured with another extractor; the message names both."""


@dataclass(frozen=True)
class GenerationScores:
    """A set of pictures beside its reference.

    Attributes:
        extractor: name of what made the features; belongs to both distances.
        fingerprint: of its weights.
        n: crops of the pictures.
        n_reference: crops of the reference.
        fid_h: Frechet distance; None with fewer than 2 crops.
        kid_h: kernel distance and its interval; None with fewer than 2 crops.
        images: figures of the pictures alone.
        reference: the same of the reference.
    """

    extractor: str
    fingerprint: str
    n: int
    n_reference: int
    fid_h: float | None
    kid_h: KernelDistance | None
    images: SetFigures
    reference: SetFigures

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know to judge the figures."""
        notes = []
        if self.fid_h is None:
            notes.append(f"FID-H and KID-H need at least 2 hand crops; there are {self.n}.")
        elif min(self.n, self.n_reference) < FID_UNBIASED_FROM:
            notes.append(
                f"FID-H is biased below {FID_UNBIASED_FROM:,} images (here {self.n:,} against {self.n_reference:,}): "
                "read KID-H first."
            )
        if self.images.side != self.reference.side:
            sides = f"{self.images.side} and {self.reference.side} pixels"
            notes.append(f"The sets have pictures of {sides}, so their sharpness does not compare.")
        return tuple(notes)

    @property
    def leads_with(self) -> str:
        """Which of the distances to read first."""
        return "fid_h" if min(self.n, self.n_reference) >= FID_UNBIASED_FROM else "kid_h"

    @property
    def sharpness_ratio(self) -> float | None:
        """Sharpness of the pictures over the reference's; None where one has none or sizes differ."""
        ours, theirs = self.images.sharpness, self.reference.sharpness
        if ours is None or not theirs or self.images.side != self.reference.side:
            return None
        return ours / theirs

    def as_dict(self) -> dict[str, Any]:
        """For `scores.json`: JSON types only, null where nothing could be counted."""
        about = {"extractor": self.extractor, "n": self.n, "n_reference": self.n_reference}
        distances = {
            "kid_h": {**_interval(self.kid_h), "extractor": self.extractor} if self.kid_h else None,
            "fid_h": {"value": self.fid_h, **about} if self.fid_h is not None else None,
        }
        first = self.leads_with
        ordered = {first: distances[first], **distances}
        return _plain(
            {
                "leads_with": first,
                **ordered,
                "extractor_fingerprint": self.fingerprint,
                "sharpness_ratio": self.sharpness_ratio,
                "notes": list(self.notes),
                "images": asdict(self.images),
                "reference": asdict(self.reference),
            }
        )

    def markdown(self) -> str:
        """A short report with both sets side by side."""
        rows = [("pictures", *(f"{s.n:,}" for s in (self.images, self.reference)))]
        about = f"({self.extractor}, n = {self.n:,} against {self.n_reference:,})"
        lines = [f"# Scores of {self.images.name}", ""]
        distances = {
            "fid_h": f"- FID-H {about}: {'none' if self.fid_h is None else f'{self.fid_h:.4g}'}",
            "kid_h": f"- KID-H {about}: none",
        }
        if self.kid_h:
            interval = f"{self.kid_h.level:.0%} interval {self.kid_h.low:.4g} to {self.kid_h.high:.4g}"
            distances["kid_h"] = f"- KID-H {about}: {self.kid_h.value:.4g}, {interval}"
        first = self.leads_with
        lines += [distances.pop(first), *distances.values(), *(f"- {note}" for note in self.notes), ""]
        rows += [(label, *(value(s) for s in (self.images, self.reference))) for label, value in _ROWS]
        lines += [f"| | {self.images.name} | {self.reference.name} |", "|---|---|---|"]
        lines += [f"| {label} | {ours} | {theirs} |" for label, ours, theirs in rows]
        detector = {key: str(value) for key, value in self.images.detector.items()}
        if detector:
            lines += ["", "Detector: " + ", ".join(f"{key} {value}" for key, value in detector.items()) + "."]
        return "\n".join(lines) + "\n"


def _interval(distance: KernelDistance) -> dict[str, float | int]:
    """A kernel distance for JSON; of large sets it counts the features that were kept."""
    counts = {"n": distance.n_a, "n_reference": distance.n_b}
    return {"value": distance.value, "low": distance.low, "high": distance.high, "level": distance.level, **counts}


def _text(value: float | None, digits: int) -> str:
    """A figure, or a dash where there is none."""
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


_ROWS = (
    ("hand found", lambda s: _text(s.detection.rate_found if s.detection else None, 3)),
    ("mean score over found", lambda s: _text(s.detection.mean_score_found if s.detection else None, 3)),
    ("mean score, missed as 0", lambda s: _text(s.detection.mean_score_missed_as_zero if s.detection else None, 3)),
    ("PCK@0.05 of found", lambda s: _text((s.pck or {}).get("0.05"), 3)),
    ("PCK@0.1 of found", lambda s: _text((s.pck or {}).get("0.1"), 3)),
    ("PCK@0.15 of found", lambda s: _text((s.pck or {}).get("0.15"), 3)),
    ("sharpness on the hand (median variance of the Laplacian)", lambda s: _text(s.sharpness, 1)),
)


def _plain(value: Any) -> Any:
    """JSON has no NaN: null in its place, at any depth."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def compare(images: ImageSet, reference: ImageSet) -> GenerationScores:
    """The distances of a set from its reference.

    Raises:
        ReferenceMismatchError: they were measured with different extractors or weights.
        ValueError: the reference has fewer than 2 crops.
    """
    ours, theirs = ((s.extractor, s.fingerprint) for s in (images, reference))
    if ours != theirs:
        raise ReferenceMismatchError(
            f"{images.figures.name} was measured with {ours[0]} ({ours[1]}) but the reference "
            f"{reference.figures.name} with {theirs[0]} ({theirs[1]}); measure both with one extractor."
        )
    if reference.statistics is None:
        raise ValueError(f"the reference {reference.figures.name} has fewer than 2 hand crops; at least 2 are needed")
    fid_h = kid_h = None
    if images.statistics is not None:
        fid_h = frechet_distance(images.statistics, reference.statistics)
        kid_h = kid(images.features.astype(np.float64), reference.features.astype(np.float64))
    n = images.statistics.n if images.statistics is not None else len(images.features)
    n_reference = reference.statistics.n
    return GenerationScores(*ours, n, n_reference, fid_h, kid_h, images.figures, reference.figures)
