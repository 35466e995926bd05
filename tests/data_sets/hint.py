"""HInt as HaMeR's evaluation reads it: three npz tables beside a folder of frames."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.data_sets.rebuild import encoded
from tests.data_sets.truth import Truth


def write(
    root: Path,
    truths: Sequence[Truth],
    name: str = "newdays",
    kinds: Sequence[str] = ("all", "vis", "occ"),
    **changes: Any,
) -> Path:
    """One hand in a frame, the last frame with two rows; joints 0 to 4 are hidden, joint 20 is not labelled.

    Args:
        root: folder to write.
        truths: hands.
        name: the source.
        kinds: the tables to write.
        changes: arrays of the table `all` to replace, None to leave out.
    """
    folder = root / "HInt_annotation_partial" / f"TEST_{name}_img"
    folder.mkdir(parents=True)
    tables = root / "hamer_evaluation_data"
    tables.mkdir()
    names = [f"{name}_{index:04d}_r.jpg" for index in range(len(truths) - 1)]
    names.append(names[-1])
    for file, truth in zip(names[:-1], truths, strict=False):
        (folder / file).write_bytes(encoded(truth.image, "JPEG"))
    points = np.stack([truth.keypoints_2d[:, :2] for truth in truths])
    low, high = points.min(1), points.max(1)
    joints = np.arange(21)
    confidence = {"all": joints < 20, "vis": (joints > 4) & (joints < 20), "occ": joints <= 4}
    for kind in kinds:
        # the row of the first hand has no hidden joint: its frame is missing from that table
        kept = slice(1, None) if kind == "occ" else slice(None)
        arrays = {
            "imgname": np.array(names)[kept],
            "center": ((low + high) / 2)[kept],
            "scale": (high - low)[kept],
            "right": np.array([truth.is_right for truth in truths], np.float32)[kept],
            "hand_keypoints_2d": np.concatenate(
                [points, np.broadcast_to(confidence[kind][:, None], (len(truths), 21, 1))], axis=2
            )[kept].astype(np.float32),
        }
        if kind == "all":
            arrays = {key: value for key, value in {**arrays, **changes}.items() if value is not None}
        np.savez(tables / f"TEST_{name}_img_{kind}.npz", **arrays)
    return tables
