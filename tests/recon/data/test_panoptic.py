"""The reader of MPII+NZSL and Panoptic hands: rendered hands written in its form come back, damage is named."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from recon.data.panoptic import Panoptic
from recon.data.reader import reader_class
from recon.files import FileError
from tests.data_sets.panoptic import write
from tests.data_sets.truth import truths


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, truths(8), empty=(5, 6), unlabelled={4: (0, 1, 20)})
    return tmp_path


@pytest.mark.parametrize("split", ["train", "test"])
def test_what_is_written_comes_back_in_our_own_terms(root: Path, split: str):
    reader = pickle.loads(pickle.dumps(reader_class("panoptic")(root, split)))
    assert isinstance(reader, Panoptic) and len(reader) == 8
    for index, truth in enumerate(truths(8)):
        frame = reader.read(index)
        if index in (5, 6):
            assert frame.hands == () and frame.empty == "no hand is labelled"
            continue
        (record,) = frame.hands
        letter, side = ("r", "right") if truth.is_right else ("l", "left")
        assert record.image_id == f"hand_labels/manual_{split}/{5880453 + index:09d}_01_{letter}.jpg"
        assert record.is_right == truth.is_right and record.hand == side
        assert record.image == Path(reader.file(index)).read_bytes()
        labelled = np.ones(21, bool)
        if index == 4:
            labelled[[0, 1, 20]] = False
        assert (record.keypoints_2d[:, 2] == labelled).all() and not record.keypoints_2d[~labelled].any()
        assert np.abs(record.keypoints_2d[labelled, :2] - truth.keypoints_2d[labelled, :2]).max() < 0.5
        assert np.abs(record.box[2:] - truth.keypoints_2d[labelled, :2].max(0)).max() < 1e-3
        assert record.joints is None and record.intrinsics is None and record.transl is None


def test_what_is_missing_or_damaged_is_named(root: Path):
    reader = Panoptic(root, "train")
    picture = Path(reader.file(1))
    picture.write_bytes(picture.read_bytes()[:200])
    with pytest.raises(FileError, match=picture.name):
        reader.read(1)
    picture.unlink()
    with pytest.raises(FileError, match=f"{picture.name} does not exist"):
        reader.read(1)
    labels = Path(reader.file(0)).with_suffix(".json")
    whole = json.loads(labels.read_text())
    spoilt = {
        "has no key 'is_left'": {key: value for key, value in whole.items() if key != "is_left"},
        "has no key 'hand_pts'": {"is_left": 1},
        "is_left is 'yes'; it must be 0 or 1": whole | {"is_left": "yes"},
        r"hand_pts has the shape \[20, 3\]; it must be \[21, 3\]": whole | {"hand_pts": whole["hand_pts"][1:]},
        "must be an object with the key 'hand_pts', not list": [whole],
    }
    for message, content in spoilt.items():
        labels.write_text(json.dumps(content))
        with pytest.raises(FileError, match=f"{labels.name}.* {message}"):
            reader.read(0)
    labels.write_text("{")
    with pytest.raises(FileError, match=f"{labels.name} is not JSON"):
        reader.read(0)


def test_a_folder_that_is_no_such_set_says_what_it_lacks(tmp_path: Path):
    with pytest.raises(FileError, match="manual_train does not exist; give the folder that holds hand_labels"):
        Panoptic(tmp_path, "train")
    (tmp_path / "hand_labels" / "manual_train").mkdir(parents=True)
    with pytest.raises(FileError, match="manual_train holds no JSON files of labels"):
        Panoptic(tmp_path, "train")
