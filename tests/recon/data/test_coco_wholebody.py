"""The reader of COCO-WholeBody: rendered hands written in its form come back, damage is named."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from recon.data.coco_wholebody import CocoWholeBody
from recon.data.reader import reader_class
from recon.files import FileError
from tests.data_sets.coco_wholebody import write
from tests.data_sets.truth import Truth, truths


def other(truth: Truth) -> Truth:
    return next(candidate for candidate in truths(8) if candidate.is_right != truth.is_right)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, truths(8), both={2: other(truths(8)[2])}, empty=(5, 6), unlabelled={4: (0, 1, 20)})
    return tmp_path


def spoil(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_what_is_written_comes_back_in_our_own_terms(root: Path):
    reader = pickle.loads(pickle.dumps(reader_class("coco-wholebody")(root, "val")))
    assert isinstance(reader, CocoWholeBody) and len(reader) == 8
    for index, truth in enumerate(truths(8)):
        if index in (2, 5, 6):
            continue
        (record,) = reader.read(index).hands
        assert record.sample_id == f"coco-wholebody/val/val2017/{785 + index:012d}.jpg/0"
        assert record.is_right == truth.is_right
        assert record.image == Path(reader.file(index)).read_bytes()
        labelled = np.ones(21, bool)
        if index == 4:
            labelled[[0, 1, 20]] = False
        assert (record.keypoints_2d[:, 2] == labelled).all() and not record.keypoints_2d[~labelled].any()
        assert np.abs(record.keypoints_2d[labelled, :2] - truth.keypoints_2d[labelled, :2]).max() < 0.5
        assert np.abs(record.box[:2] - (truth.keypoints_2d[:, :2].min(0) - 2)).max() < 1e-3
        assert np.abs(record.box[2:] - (truth.keypoints_2d[:, :2].max(0) + 2)).max() < 1e-3
        assert record.joints is None and record.intrinsics is None and record.transl is None


def test_everyone_s_hands_in_a_photo_are_records_of_their_own(root: Path):
    hands = CocoWholeBody(root, "val").read(2).hands
    assert [hand.hand for hand in hands] == ["0", "1"] and [hand.is_right for hand in hands] == [False, True]
    for record in hands:
        truth = truths(8)[2] if truths(8)[2].is_right == record.is_right else other(truths(8)[2])
        assert np.abs(record.keypoints_2d[:, :2] - truth.keypoints_2d[:, :2]).max() < 0.5
    for index in (5, 6):
        frame = CocoWholeBody(root, "val").read(index)
        assert frame.hands == () and frame.empty == "no hand is labelled"


def test_scores_below_one_stay_as_they_are(root: Path):
    path = root / "annotations" / "coco_wholebody_val_v1.0.json"
    side = "right" if truths(8)[0].is_right else "left"
    person = {"id": 0}

    def change(content: dict) -> None:
        row = next(row for row in content["annotations"] if row["id"] == person["id"])
        row[f"{side}hand_kpts"][2] = 0.25

    spoil(path, change)
    assert CocoWholeBody(root, "val").read(0).hands[0].keypoints_2d[0, 2] == 0.25


def test_the_annotations_may_lie_beside_the_photos(root: Path):
    shutil.move(root / "annotations" / "coco_wholebody_val_v1.0.json", root)
    assert len(CocoWholeBody(root, "val")) == 8


def test_what_is_missing_or_damaged_is_named(root: Path):
    with pytest.raises(FileError, match="coco_wholebody_train_v1.0.json does not exist"):
        CocoWholeBody(root, "train")
    reader = CocoWholeBody(root, "val")
    picture = Path(reader.file(1))
    picture.write_bytes(picture.read_bytes()[:200])
    with pytest.raises(FileError, match="000000000786.jpg"):
        reader.read(1)
    path = root / "annotations" / "coco_wholebody_val_v1.0.json"
    whole = path.read_text()
    changes = {
        "annotation 7 of 000000000792.jpg has no key 'righthand_valid'": lambda c: c["annotations"][0].pop(
            "righthand_valid"
        ),
        "hand_kpts has 20 keypoints; a hand has 21": lambda c: [
            row.update({f"{side}hand_kpts": row[f"{side}hand_kpts"][:60]})
            for row in c["annotations"]
            for side in ("left", "right")
        ],
        "annotates image 12, which it does not list": lambda c: c["annotations"][3].update(image_id=12),
        r"an annotation has 'image_id' \[785\]; it must be a number or a name": lambda c: c["annotations"][0].update(
            image_id=[785]
        ),
        "an image has 'id' {}; it must be a number or a name": lambda c: c["images"][0].update(id={}),
        "has no key 'images'": lambda c: c.pop("images"),
        "'annotations' must be a list, not dict": lambda c: c.update(annotations={}),
        "names the file '/etc/x.jpg'": lambda c: c["images"][0].update(file_name="/etc/x.jpg"),
    }
    for message, change in changes.items():
        path.write_text(whole)
        spoil(path, change)
        with pytest.raises(FileError, match=f"coco_wholebody_val_v1.0.json.*{message}"):
            CocoWholeBody(root, "val")
    path.write_text(whole[:-30])
    with pytest.raises(FileError, match="coco_wholebody_val_v1.0.json is not JSON"):
        CocoWholeBody(root, "val")
