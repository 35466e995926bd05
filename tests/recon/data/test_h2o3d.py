"""H2O-3D's tree read back: two hands a picture, each of its own side."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from recon.data.numpy_pickles import NUMPY_NAMES
from recon.data.reader import reader_class
from recon.files import FileError, unpickle
from tests.data_sets.h2o3d import paired, write
from tests.data_sets.python2 import python2_pickle
from tests.data_sets.rebuild import rebuilt_joints
from tests.data_sets.truth import Truth, truths


def pairs() -> list[tuple[Truth, Truth]]:
    return paired([truth for truth in truths(8) if truth.is_right])


def test_both_hands_of_a_picture_come_back_in_our_own_terms(tmp_path: Path):
    write(tmp_path, pairs())
    reader = pickle.loads(pickle.dumps(reader_class("h2o3d")(tmp_path, "train")))
    assert len(reader) == 4 and reader.expected is None
    for index, pair in enumerate(pairs()):
        frame = reader.read(index)
        if index % 4 == 3:
            assert frame.hands == () and frame.empty == "no hand is labelled"
            continue
        assert [record.hand for record in frame.hands] == ["right", "left"]
        for record, truth in zip(frame.hands, pair, strict=True):
            assert record.is_right == truth.is_right and record.image_id == f"train/SS{index % 2}/rgb/{index:04d}.jpg"
            assert np.abs(record.joints - truth.joints).max() < 1e-4
            assert np.abs(record.keypoints_2d[:, :2] - truth.keypoints_2d[:, :2]).max() < 0.5
            assert np.abs(rebuilt_joints(record) - truth.joints).max() < 1e-4
            assert np.abs(record.hand_pose - truth.hand_pose).max() < 1e-5, "of the hand's own side, not mirrored"


def test_evaluation_pictures_know_wrist_and_box_of_both_hands(tmp_path: Path):
    write(tmp_path, pairs())
    frame = reader_class("h2o3d")(tmp_path, "evaluation").read(1)
    for record, truth in zip(frame.hands, pairs()[1], strict=True):
        assert record.joints is None and record.hand_pose is None
        assert np.abs(record.transl - truth.joints[0]).max() < 1e-4
        assert np.abs(record.box[2:] - (truth.keypoints_2d[:, :2].max(0) + 4)).max() < 1e-3
        assert record.keypoints_2d[:, 2].sum() == 1


def test_a_missing_key_and_a_damaged_picture_are_named(tmp_path: Path):
    write(tmp_path, pairs())
    reader, labels = reader_class("h2o3d")(tmp_path, "train"), tmp_path / "train/SS0/meta/0000.pkl"
    content = unpickle(labels, NUMPY_NAMES)
    del content["leftHandPose"]
    labels.write_bytes(python2_pickle(content))
    with pytest.raises(FileError, match="SS0/meta/0000.pkl has no key 'leftHandPose'"):
        reader.read(0)
    (tmp_path / "train/SS1/rgb/0001.jpg").write_bytes(b"\xff\xd8\xff no picture")
    with pytest.raises(FileError, match="SS1/rgb/0001.jpg"):
        reader.read(1)
    (tmp_path / "train/SS0/meta/0002.pkl").write_bytes(b"\x80\x02}")
    with pytest.raises(FileError, match="SS0/meta/0002.pkl is not a readable pickle"):
        reader.read(2)
