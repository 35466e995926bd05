"""Halpe-FullBody's annotations beside the photos of HICO-DET and COCO, with rendered hands as the people's."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.data_sets.rebuild import encoded
from tests.data_sets.truth import Truth

FOLDERS = {"train": "hico_20160224_det/images/train2015", "val": "val2017"}
LEFT_HAND, RIGHT_HAND = 94, 115


def write(
    root: Path,
    truths: Sequence[Truth],
    *,
    split: str = "train",
    both: dict[int, Truth] | None = None,
    empty: Sequence[int] = (),
    unlabelled: dict[int, Sequence[int]] | None = None,
) -> None:
    """A photo for each truth, with one person.

    Args:
        root: folder to fill.
        truths: a hand of the person.
        split: of the set.
        both: photo -> the person's other hand.
        empty: photos whose person has a body but no hands.
        unlabelled: photo -> joints of the first hand without a label.
    """
    folder = root / FOLDERS[split]
    folder.mkdir(parents=True)
    (root / "annotations").mkdir()
    images, annotations = [], []
    for index, truth in enumerate(truths):
        name = f"HICO_train2015_{index + 1:08d}.jpg"
        (folder / name).write_bytes(encoded(truth.image, "JPEG"))
        images.append({"id": 300 + index, "file_name": name, "width": 128, "height": 128})
        points = np.zeros((136, 3))
        points[:17] = (40, 50, 2)
        for hand in (truth, *([both[index]] if both and index in both else [])):
            start = RIGHT_HAND if hand.is_right else LEFT_HAND
            if index not in empty:
                points[start : start + 21, :2] = hand.keypoints_2d[:, :2]
                points[start : start + 21, 2] = 2
            if hand is truth:
                points[[start + joint for joint in (unlabelled or {}).get(index, ())]] = 0
        annotations.append(
            {"id": 70 + index, "image_id": 300 + index, "bbox": [0, 0, 128, 128], "keypoints": points.ravel().tolist()}
        )
    table = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    (root / "annotations" / f"halpe_{split}_v1.json").write_text(json.dumps(table))
