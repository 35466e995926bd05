"""Records of the rendered world's hands, and folders of such records as `RunFolder` leaves them."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pipelines.run_folder import RunFolder, RunPlan
from recon.data.record import FEATURES, HandRecord
from tests.data_sets.truth import Truth, truths


def encoded(image: np.ndarray, fmt: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, fmt)
    return buffer.getvalue()


def record_of(truth: Truth, index: int, dataset: str = "world", **changes: object) -> HandRecord:
    """Everything that is known of a hand; `changes` takes away or replaces."""
    points = truth.keypoints_2d[:, :2]
    known: dict = {
        "image": encoded(truth.image),
        "image_id": f"{index:06d}.png",
        "hand": "right" if truth.is_right else "left",
        "dataset": dataset,
        "split": "train",
        "is_right": truth.is_right,
        "box": np.concatenate((points.min(0), points.max(0))),
        "keypoints_2d": np.concatenate((points, np.ones((21, 1))), 1),
        "intrinsics": truth.intrinsics,
        "joints": truth.joints,
        "betas": truth.betas,
        "global_orient": truth.global_orient,
        "hand_pose": truth.hand_pose,
        "transl": truth.joints[0],
        "vertices": truth.vertices,
        "mask": encoded(truth.mask.astype(np.uint8) * 255),
        "caption": truth.caption,
    }
    return HandRecord(**{**known, **changes})


def records(count: int, dataset: str = "world", hands: int = 8, **changes: object) -> list[HandRecord]:
    """`count` records with different ids that go round a few rendered hands."""
    some = truths(hands)
    return [record_of(some[i % hands], i, dataset, **changes) for i in range(count)]


def write_folder(root: Path, rows: Sequence[HandRecord], shard_size: int = 10) -> Path:
    """A finished run of records."""
    folder = RunFolder(root, RunPlan({"made": "for a test"}, len(rows), shard_size, "parquet", FEATURES))
    for shard in folder.claim():
        folder.write(shard, [row.row() for row in rows[shard.start : shard.stop]])
    with folder.finishing():
        pass
    return root
