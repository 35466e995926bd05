"""The record of what is measured on one set of hand pictures, and its file (DESIGN section 9).

A set can be saved and stand as the reference of later ones; features carry the name of their extractor with them.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from eval.detection import DetectionScores
from eval.generation import FeatureStatistics
from recon.files import FileError, open_npz, write_atomic

KEPT_FEATURES = 10_000
"""Feature vectors kept for KID, a uniform sample of a larger set; FID uses all."""
FORMAT = 1


@dataclass(frozen=True)
class SetFigures:
    """Figures of a set that need no other set.

    Attributes:
        name: what the set is.
        n: pictures.
        side: longer side of the first picture, pixels; sharpness compares only at one size.
        crops_by_label: hand crops cut by a known box.
        crops_by_detector: hand crops cut by the detector's box.
        detection: rate and scores; None when no detector looked.
        detector: its version, model and thresholds.
        pck: threshold (fraction of the longer side of the projected joints' box) -> share of found keypoints that
            agree with the projected joints; None without joints.
        n_pck: pictures with joints in which a hand was found.
        sharpness: median over pictures of the variance of the Laplacian on the hand; None without masks.
        n_sharpness: pictures with a mask.
    """

    name: str
    n: int
    side: int
    crops_by_label: int
    crops_by_detector: int
    detection: DetectionScores | None = None
    detector: Mapping[str, str | float | int] = field(default_factory=dict)
    pck: Mapping[str, float] | None = None
    n_pck: int = 0
    sharpness: float | None = None
    n_sharpness: int = 0


@dataclass(frozen=True)
class ImageSet:
    """A measured set: its figures and the features of its crops.

    Attributes:
        figures: see `SetFigures`.
        extractor: name of what made the features.
        fingerprint: of its weights.
        statistics: of all crops; None with fewer than 2.
        features: at most `KEPT_FEATURES` of them.
    """

    figures: SetFigures
    extractor: str
    fingerprint: str
    statistics: FeatureStatistics | None
    features: Float32[np.ndarray, "k d"]


def save_image_set(path: str | Path, images: ImageSet) -> None:
    """Write a set as npz, whole or not at all.

    Raises:
        FileError: not writable.
        ValueError: the set has fewer than 2 crops, so it cannot be a reference.
    """
    if images.statistics is None:
        raise ValueError(f"{images.figures.name} has fewer than 2 hand crops and cannot be a reference")
    about: dict[str, Any] = {
        "format": FORMAT,
        "extractor": images.extractor,
        "fingerprint": images.fingerprint,
        "n": images.statistics.n,
        "figures": asdict(images.figures),
    }
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        about=np.array(json.dumps(about)),
        mean=images.statistics.mean,
        covariance=images.statistics.covariance,
        features=images.features,
    )
    write_atomic(path, buffer.getvalue())


def load_image_set(path: str | Path) -> ImageSet:
    """Read what `save_image_set` wrote.

    Raises:
        FileError: missing, damaged, or something else.
    """
    arrays = open_npz(path, ["about", "mean", "covariance", "features"])
    mean, covariance, features = (arrays[key] for key in ("mean", "covariance", "features"))
    try:
        about = json.loads(str(arrays["about"]))
        if about["format"] != FORMAT:
            raise FileError(f"{path} has the format {about['format']!r}; allowed is {FORMAT}.")
        figures = dict(about["figures"])
        detection = figures.pop("detection")
        record = SetFigures(detection=DetectionScores(**detection) if detection else None, **figures)
        n, extractor, fingerprint = int(about["n"]), str(about["extractor"]), str(about["fingerprint"])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{path} holds no reference statistics ({error}).") from error
    width = mean.shape[-1] if mean.ndim == 1 else -1
    if covariance.shape != (width, width) or features.ndim != 2 or features.shape[1] != width:
        shapes = f"mean {mean.shape}, covariance {covariance.shape}, features {features.shape}"
        raise FileError(f"{path} holds arrays that do not fit each other: {shapes}.")
    if not all(array.dtype.kind == "f" and np.isfinite(array).all() for array in (mean, covariance, features)):
        raise FileError(f"{path} holds values that are no finite numbers.")
    statistics = FeatureStatistics(n, mean.astype(np.float64), covariance.astype(np.float64))
    return ImageSet(record, extractor, fingerprint, statistics, features.astype(np.float32))
