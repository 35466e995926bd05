"""A folder in mmpose's form of a hand set: one JSON file beside the pictures, with rendered hands."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.data_sets.rebuild import encoded
from tests.data_sets.rhd import TIP_TO_BASE
from tests.data_sets.truth import Truth


def write(
    root: Path,
    truths: Sequence[Truth],
    *,
    form: str = "RHD",
    empty: Sequence[int] = (),
    unlabelled: dict[int, Sequence[int]] | None = None,
) -> None:
    """The test split.

    Args:
        root: folder to fill.
        truths: the hand of each picture.
        form: "RHD", with cameras, 3D joints and sides, tip to base; or "OneHand10K", which has none of these.
        empty: pictures without an annotation.
        unlabelled: picture -> joints without a label.
    """
    images, annotations = [], []
    order = TIP_TO_BASE if form == "RHD" else list(range(21))
    for index, truth in enumerate(truths):
        name, k = f"{100 + index:05d}.png", truth.intrinsics
        (root / name).write_bytes(encoded(truth.image))
        image = {"file_name": name, "height": 128, "width": 128, "id": 100 + index}
        if form == "RHD":
            image["cam_param"] = {"focal": [k[0, 0], k[1, 1]], "princpt": k[:2, 2].tolist()}
        images.append(image)
        if index in empty:
            continue
        points = np.concatenate((truth.keypoints_2d[:, :2], np.ones((21, 1))), axis=1)
        points[list((unlabelled or {}).get(index, ()))] = 0
        low, high = truth.keypoints_2d[:, :2].min(0) - 4, truth.keypoints_2d[:, :2].max(0) + 4
        row = {"id": index, "image_id": 100 + index, "category_id": 1, "iscrowd": 0}
        row["bbox"] = [*low.tolist(), *(high - low).tolist()]
        row["keypoints"] = points[order].tolist() if form == "RHD" else points[order].ravel().tolist()
        if form == "RHD":
            row["joint_cam"] = (1000 * truth.joints[order]).tolist()
            row["hand_type"] = "right" if truth.is_right else "left"
        annotations.append(row)
    table = {"info": {"description": form}, "images": images, "annotations": annotations[::-1], "categories": []}
    (root / f"test_{form.lower()}.json").write_text(json.dumps(table))
