"""A tree as the CMU hand database unpacks `hand_labels`, with rendered hands."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.data_sets.rebuild import encoded
from tests.data_sets.truth import Truth


def write(
    root: Path,
    truths: Sequence[Truth],
    *,
    empty: Sequence[int] = (),
    unlabelled: dict[int, Sequence[int]] | None = None,
) -> None:
    """Both splits of the same photos.

    Args:
        root: folder to fill.
        truths: the hand of each photo.
        empty: photos none of whose joints is labelled.
        unlabelled: photo -> joints that are not labelled; their pixels are nonsense.
    """
    for split in ("train", "test"):
        folder = root / "hand_labels" / f"manual_{split}"
        folder.mkdir(parents=True)
        for index, truth in enumerate(truths):
            name = f"{5880453 + index:09d}_01_{'r' if truth.is_right else 'l'}"
            points = np.concatenate((truth.keypoints_2d[:, :2], np.ones((21, 1))), axis=1)
            for joint in range(21) if index in empty else (unlabelled or {}).get(index, ()):
                points[joint] = (-3, 7, 0)
            center = truth.keypoints_2d[:, :2].mean(0)
            labels = {
                "hand_pts": points.tolist(),
                "hand_box_center": center.tolist(),
                "is_left": int(not truth.is_right),
            }
            (folder / f"{name}.json").write_text(json.dumps(labels))
            (folder / f"{name}.jpg").write_bytes(encoded(truth.image, "JPEG"))
