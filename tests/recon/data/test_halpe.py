"""The reader of Halpe: rendered hands written in its form come back, damage is named."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from recon.data.halpe import Halpe
from recon.data.reader import reader_class
from recon.files import FileError
from tests.data_sets.halpe import write
from tests.data_sets.rebuild import encoded
from tests.data_sets.truth import Truth, truths

REAL = Path(__file__).parents[4] / "shared" / "real_hands" / "annotated" / "test_halpe.json"


def other(truth: Truth) -> Truth:
    return next(candidate for candidate in truths(8) if candidate.is_right != truth.is_right)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, truths(8), both={2: other(truths(8)[2])}, empty=(5, 6), unlabelled={4: (0, 1, 20)})
    return tmp_path


def test_what_is_written_comes_back_in_our_own_terms(root: Path):
    reader = pickle.loads(pickle.dumps(reader_class("halpe")(root, "train")))
    assert isinstance(reader, Halpe) and len(reader) == 8
    for index, truth in enumerate(truths(8)):
        if index in (2, 5, 6):
            continue
        (record,) = reader.read(index).hands
        assert record.image_id == f"hico_20160224_det/images/train2015/HICO_train2015_{index + 1:08d}.jpg"
        assert record.is_right == truth.is_right
        assert record.image == Path(reader.file(index)).read_bytes()
        labelled = np.ones(21, bool)
        if index == 4:
            labelled[[0, 1, 20]] = False
        assert (record.keypoints_2d[:, 2] == labelled).all() and not record.keypoints_2d[~labelled].any()
        assert np.abs(record.keypoints_2d[labelled, :2] - truth.keypoints_2d[labelled, :2]).max() < 0.5
        assert np.abs(record.box[:2] - truth.keypoints_2d[labelled, :2].min(0)).max() < 1e-3
        assert record.joints is None and record.intrinsics is None and record.transl is None


def test_both_hands_of_a_person_are_records_and_bodies_without_hands_are_none(root: Path):
    reader = Halpe(root, "train")
    hands = reader.read(2).hands
    assert [hand.is_right for hand in hands] == [False, True] and len({hand.sample_id for hand in hands}) == 2
    for record in hands:
        truth = truths(8)[2] if truths(8)[2].is_right == record.is_right else other(truths(8)[2])
        assert np.abs(record.keypoints_2d[:, :2] - truth.keypoints_2d[:, :2]).max() < 0.5
    for index in (5, 6):
        assert reader.read(index).hands == () and reader.read(index).empty == "no hand is labelled"


def test_what_is_missing_or_damaged_is_named(root: Path):
    reader = Halpe(root, "train")
    Path(reader.file(1)).write_bytes(b"no picture")
    with pytest.raises(FileError, match="HICO_train2015_00000002.jpg is not a readable image"):
        reader.read(1)
    with pytest.raises(FileError, match="halpe_val_v1.json does not exist"):
        Halpe(root, "val")
    path = root / "annotations" / "halpe_train_v1.json"
    content = json.loads(path.read_text())
    changes = {
        "annotation 70 of .*_00000001.jpg: keypoints has 133 keypoints; Halpe has 136": {"keypoints": [0] * 399},
        "annotation 70 of .*: keypoints has 407 numbers; it must be x, y and visibility": {"keypoints": [0] * 407},
        "annotation 70 of .*: keypoints must hold numbers of the shape": {"keypoints": ["a"] * 408},
    }
    for message, change in changes.items():
        rows = [content["annotations"][0] | change, *content["annotations"][1:]]
        path.write_text(json.dumps(content | {"annotations": rows}))
        with pytest.raises(FileError, match=f"halpe_train_v1.json.*{message}"):
            Halpe(root, "train")
    del content["annotations"][0]["keypoints"]
    path.write_text(json.dumps(content))
    with pytest.raises(FileError, match="halpe_train_v1.json.*annotation 70 of .* has no key 'keypoints'"):
        Halpe(root, "train")
    path.write_text("{")
    with pytest.raises(FileError, match="halpe_train_v1.json is not JSON"):
        Halpe(root, "train")


@pytest.mark.skipif(not REAL.is_file(), reason="no real annotations beside the project")
def test_real_hands_hang_on_the_wrists_of_their_side(tmp_path: Path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "val2017").mkdir()
    shutil.copy(REAL, tmp_path / "annotations" / "halpe_val_v1.json")
    content = json.loads(REAL.read_text())
    for image in content["images"]:  # the sample comes without its photos
        pixels = np.zeros((image["height"], image["width"], 3), np.uint8)
        (tmp_path / "val2017" / image["file_name"]).write_bytes(encoded(pixels, "JPEG"))
    reader = Halpe(tmp_path, "val")
    bodies = {image["file_name"]: [] for image in content["images"]}
    names = {image["id"]: image["file_name"] for image in content["images"]}
    for row in content["annotations"]:
        bodies[names[row["image_id"]]].append(np.array(row["keypoints"], float).reshape(-1, 3)[:17])
    compared = 0
    for index in range(len(reader)):
        for hand in reader.read(index).hands:
            wrist, own = hand.keypoints_2d[0], 10 if hand.is_right else 9
            candidates = [body for body in bodies[Path(reader.file(index)).name] if body[own, 2]]
            if not wrist[2] or not candidates:
                continue
            compared += 1
            assert min(np.linalg.norm(body[own, :2] - wrist[:2]) for body in candidates) < 12
            assert (np.ptp(hand.box.reshape(2, 2), axis=0) > 2).all()
    assert compared >= 4
