"""COCO-WholeBody's annotations beside COCO's photos, with rendered hands as the people's."""

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
    split: str = "val",
    both: dict[int, Truth] | None = None,
    empty: Sequence[int] = (),
    unlabelled: dict[int, Sequence[int]] | None = None,
) -> None:
    """A photo for each truth, each with two people, the second of whom shows no hand.

    Args:
        root: folder to fill.
        truths: a hand of the first person.
        split: of the set.
        both: photo -> the person's other hand.
        empty: photos in which no hand is valid.
        unlabelled: photo -> joints of the first hand without a label.
    """
    (root / f"{split}2017").mkdir(parents=True)
    (root / "annotations").mkdir()
    images, annotations = [], []
    for index, truth in enumerate(truths):
        name, number = f"{785 + index:012d}.jpg", 785 + index
        (root / f"{split}2017" / name).write_bytes(encoded(truth.image, "JPEG"))
        images.append({"id": number, "file_name": name, "width": truth.image.shape[1], "height": truth.image.shape[0]})
        bystander = {"id": 9000 + index, "image_id": number, "category_id": 1, "bbox": [0, 0, 9, 9], **_no_hand("left")}
        annotations.append({**bystander, **_no_hand("right")})
        person = {"id": index, "image_id": number, "category_id": 1, "bbox": [0, 0, 99, 99], "keypoints": [0] * 51}
        person |= _no_hand("left") | _no_hand("right")
        for hand in (truth, *([both[index]] if both and index in both else [])):
            if index not in empty:
                missing = (unlabelled or {}).get(index, ()) if hand is truth else ()
                person |= _hand(hand, missing)
        annotations.append(person)
    annotations.reverse()
    table = {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": []}
    (root / "annotations" / f"coco_wholebody_{split}_v1.0.json").write_text(json.dumps(table))


def _no_hand(side: str) -> dict:
    return {f"{side}hand_kpts": [0] * 63, f"{side}hand_box": [0, 0, 0, 0], f"{side}hand_valid": False}


def _hand(truth: Truth, unlabelled: Sequence[int]) -> dict:
    side = "right" if truth.is_right else "left"
    points = np.concatenate((truth.keypoints_2d[:, :2], np.full((21, 1), 2.0)), axis=1)
    points[list(unlabelled)] = 0
    low, high = truth.keypoints_2d[:, :2].min(0) - 2, truth.keypoints_2d[:, :2].max(0) + 2
    box = [*low.tolist(), *(high - low).tolist()]
    return {f"{side}hand_kpts": points.ravel().tolist(), f"{side}hand_box": box, f"{side}hand_valid": True}
