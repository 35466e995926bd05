"""The reader of the Rendered Handpose Dataset: rendered hands written in its form come back, damage is named."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from recon.data.reader import reader_class
from recon.data.rhd import Rhd
from recon.files import FileError
from tests.data_sets.python2 import python2_pickle
from tests.data_sets.rhd import write
from tests.data_sets.truth import Truth, truths


def other(truth: Truth) -> Truth:
    return next(candidate for candidate in truths(8) if candidate.is_right != truth.is_right)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, truths(8), both={2: other(truths(8)[2])}, empty=(5, 6), hidden={4: (3, 4, 17)})
    return tmp_path


@pytest.mark.parametrize("split", ["training", "evaluation"])
def test_what_is_written_comes_back_in_our_own_terms(root: Path, split: str):
    reader = pickle.loads(pickle.dumps(reader_class("rhd")(root, split)))
    assert isinstance(reader, Rhd) and len(reader) == 8
    assert reader.expected == (41_258 if split == "training" else 2_728)
    for index, truth in enumerate(truths(8)):
        if index in (2, 5, 6):
            continue
        (record,) = reader.read(index).hands
        assert record.sample_id == f"rhd/{split}/{split}/color/{index:05d}.png/{'right' if truth.is_right else 'left'}"
        assert record.is_right == truth.is_right
        assert record.image == Path(reader.file(index)).read_bytes()
        assert np.abs(record.joints - truth.joints).max() < 1e-4
        assert np.abs(record.transl - truth.joints[0]).max() < 1e-4
        assert np.abs(record.intrinsics - truth.intrinsics).max() < 1e-3
        assert np.abs(record.keypoints_2d[:, :2] - truth.keypoints_2d[:, :2]).max() < 0.5
        seen = np.ones(21, bool)
        if index == 4:
            seen[[3, 4, 17]] = False
        assert (record.keypoints_2d[:, 2] == seen).all()
        assert np.abs(record.box[:2] - truth.keypoints_2d[:, :2].min(0)).max() < 1e-3
        assert np.abs(record.box[2:] - truth.keypoints_2d[:, :2].max(0)).max() < 1e-3
        assert record.betas is None and record.hand_pose is None


def test_two_hands_are_two_records_and_hands_that_nobody_sees_are_none(root: Path):
    left, right = Rhd(root, "training").read(2).hands
    assert (left.hand, right.hand) == ("left", "right")
    for record in (left, right):
        truth = truths(8)[2] if truths(8)[2].is_right == record.is_right else other(truths(8)[2])
        assert np.abs(record.joints - truth.joints).max() < 1e-4
    for index in (5, 6):
        frame = Rhd(root, "training").read(index)
        assert frame.hands == () and frame.empty == "no hand is labelled"


class Malicious:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.trace}",)


def test_what_is_missing_or_damaged_is_named(root: Path, tmp_path: Path):
    reader = Rhd(root, "training")
    picture = root / "training" / "color" / "00001.png"
    picture.write_bytes(picture.read_bytes()[:200])
    with pytest.raises(FileError, match="color/00001.png"):
        reader.read(1)
    picture.unlink()
    with pytest.raises(FileError, match="color/00001.png does not exist"):
        reader.read(1)
    labels = root / "training" / "anno_training.pickle"
    row = {"uv_vis": np.zeros((42, 3)), "xyz": np.zeros((42, 3)), "K": np.eye(3)}
    spoilt = {
        "picture 3 has no key 'K'": {3: {"uv_vis": row["uv_vis"], "xyz": row["xyz"]}},
        r"picture 3: xyz has the shape \[21, 3\]; it must be \[42, 3\]": {3: row | {"xyz": np.zeros((21, 3))}},
        "must have the numbers of the pictures as keys": {"a": row},
        "must be an object, not list": [row],
    }
    for message, content in spoilt.items():
        labels.write_bytes(python2_pickle(content))
        with pytest.raises(FileError, match=f"anno_training.pickle.* {message}"):
            Rhd(root, "training")
    labels.write_bytes(python2_pickle({3: row})[:100])
    with pytest.raises(FileError, match="anno_training.pickle is not a readable pickle"):
        Rhd(root, "training")
    labels.write_bytes(pickle.dumps({3: Malicious(tmp_path / "ran")}, protocol=2))
    with pytest.raises(FileError, match="asks for posix.system, which is not allowed"):
        Rhd(root, "training")
    assert not (tmp_path / "ran").exists()
    labels.unlink()
    with pytest.raises(FileError, match="anno_training.pickle does not exist"):
        Rhd(root, "training")
