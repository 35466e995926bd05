"""HO-3D's tree in OpenGL axes read back: both versions, released evaluation labels, damage, hostile pickles."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from recon.data.ho3d import turned_orient
from recon.data.numpy_pickles import NUMPY_NAMES
from recon.data.reader import Reader, reader_class
from recon.files import FileError, unpickle
from tests.data_sets.ho3d import write
from tests.data_sets.python2 import python2_pickle
from tests.data_sets.rebuild import rebuilt_joints
from tests.data_sets.truth import Truth, truths


def right_hands() -> tuple[Truth, ...]:
    return tuple(truth for truth in truths(8) if truth.is_right)


def opened(name: str, root: Path, split: str) -> Reader:
    return pickle.loads(pickle.dumps(reader_class(name)(root, split)))


@pytest.mark.parametrize(("name", "version", "suffix"), [("ho3d-v2", 2, "png"), ("ho3d-v3", 3, "jpg")])
def test_training_labels_come_back_in_our_own_terms(tmp_path: Path, name: str, version: int, suffix: str):
    write(tmp_path, right_hands(), version=version)
    reader = opened(name, tmp_path, "train")
    assert len(reader) == 4
    for index, truth in enumerate(right_hands()):
        frame = reader.read(index)
        if index % 4 == 3:
            assert frame.hands == () and frame.empty == "no hand is labelled"
            continue
        (record,) = frame.hands
        assert record.sample_id == f"{name}/train/train/ABF1{index % 2}/rgb/{index:04d}.{suffix}/right"
        assert record.image == (tmp_path / record.image_id).read_bytes() and reader.file(index).endswith(
            record.image_id
        )
        assert np.abs(record.joints - truth.joints).max() < 1e-4
        assert np.abs(record.keypoints_2d[:, :2] - truth.keypoints_2d[:, :2]).max() < 0.5
        assert (record.keypoints_2d[:, 2] == 1).all() and record.is_right and record.vertices is None
        assert np.abs(rebuilt_joints(record) - truth.joints).max() < 1e-4
        assert np.abs(record.transl - truth.joints[0]).max() < 1e-4
        assert np.abs(record.hand_pose - truth.hand_pose).max() < 1e-5, "its mean is flat as ours"
        assert np.allclose(record.box, (*record.keypoints_2d.min(0)[:2], *record.keypoints_2d.max(0)[:2]))


def test_evaluation_pictures_know_wrist_and_box(tmp_path: Path):
    write(tmp_path, right_hands())
    for index, truth in enumerate(right_hands()[:3]):
        record = opened("ho3d-v2", tmp_path, "evaluation").read(index).hands[0]
        assert record.joints is None and record.hand_pose is None and record.betas is None and record.vertices is None
        assert np.abs(record.transl - truth.joints[0]).max() < 1e-4
        assert np.abs(record.keypoints_2d[0, :2] - truth.keypoints_2d[0, :2]).max() < 0.5
        assert record.keypoints_2d[:, 2].tolist() == [1] + [0] * 20
        assert np.abs(record.box[:2] - (truth.keypoints_2d[:, :2].min(0) - 4)).max() < 1e-3


def test_released_joints_and_meshes_of_the_evaluation_are_read(tmp_path: Path):
    write(tmp_path, right_hands(), released=True)
    reader = opened("ho3d-v2", tmp_path, "evaluation")
    record, truth = reader.read(2).hands[0], right_hands()[2]
    assert np.abs(record.joints - truth.joints).max() < 1e-4 and np.abs(record.vertices - truth.vertices).max() < 1e-4
    assert np.abs(record.keypoints_2d[:, :2] - truth.keypoints_2d[:, :2]).max() < 0.5
    rows = json.loads((tmp_path / "evaluation_xyz.json").read_text())
    (tmp_path / "evaluation_xyz.json").write_text(json.dumps(rows[1:]))
    with pytest.raises(FileError, match="evaluation_xyz.json has 3 rows, but evaluation.txt 4 lines"):
        opened("ho3d-v2", tmp_path, "evaluation")


def test_turning_the_axes_twice_changes_nothing_and_counts_are_the_documented_ones(tmp_path: Path):
    for truth in right_hands():
        there_and_back = turned_orient(turned_orient(truth.global_orient))
        assert np.abs(there_and_back - truth.global_orient).max() < 1e-9
    write(tmp_path, right_hands())
    counts = [reader_class(n)(tmp_path, s).expected for n in ("ho3d-v2", "ho3d-v3") for s in ("train", "evaluation")]
    assert counts == [66_034, 11_524, None, 20_137]


def test_what_is_missing_or_damaged_is_named(tmp_path: Path):
    write(tmp_path, right_hands())
    reader, labels = opened("ho3d-v2", tmp_path, "train"), tmp_path / "train/ABF10/meta/0000.pkl"
    whole = unpickle(labels, NUMPY_NAMES)
    for key in ("camMat", "handPose", "handJoints3D", "handBeta", "objRot"):
        labels.write_bytes(python2_pickle({name: value for name, value in whole.items() if name != key}))
        with pytest.raises(FileError, match=f"ABF10/meta/0000.pkl has no key '{key}'"):
            reader.read(0)
    labels.write_bytes(python2_pickle(whole | {"handPose": np.zeros(51)}))
    with pytest.raises(FileError, match=r"0000.pkl\['handPose'\] has the shape \[51\]; it must be \[48\]"):
        reader.read(0)
    labels.write_bytes(python2_pickle(whole)[:300])
    with pytest.raises(FileError, match="0000.pkl is not a readable pickle"):
        reader.read(0)
    labels.write_bytes(python2_pickle([1, 2]))
    with pytest.raises(FileError, match="0000.pkl holds a list, but must hold a table of labels"):
        reader.read(0)
    picture = tmp_path / "train/ABF11/rgb/0001.png"
    picture.write_bytes(picture.read_bytes()[:200])
    with pytest.raises(FileError, match="ABF11/rgb/0001.png"):
        reader.read(1)
    (tmp_path / "train.txt").write_text("ABF10/0000\n../../secret/0000\n")
    with pytest.raises(FileError, match=r"train.txt, line 2 is '../../secret/0000'"):
        opened("ho3d-v2", tmp_path, "train")
    (tmp_path / "train.txt").unlink()
    with pytest.raises(FileError, match="train.txt does not exist"):
        opened("ho3d-v2", tmp_path, "train")


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.target}",)


def test_a_pickle_that_would_run_a_command_is_refused_and_runs_nothing(tmp_path: Path):
    write(tmp_path, right_hands())
    labels, trace = tmp_path / "train/ABF10/meta/0000.pkl", tmp_path / "trace"
    labels.write_bytes(pickle.dumps({"objRot": Malicious(trace)}, protocol=2))
    with pytest.raises(FileError, match=r"0000.pkl asks for posix.system, which is not allowed"):
        opened("ho3d-v2", tmp_path, "train").read(0)
    assert not trace.exists()


def test_scalars_of_numpy_are_plain_numbers_only():
    assert unpickle(pickle.dumps({"a": np.int64(12), "b": np.float32(0.5)}, 2), NUMPY_NAMES) == {"a": 12, "b": 0.5}
    assert unpickle(python2_pickle({"a": np.int64(12)}), NUMPY_NAMES) == {"a": 12}
    with pytest.raises(FileError, match="which is not allowed"):
        unpickle(pickle.dumps(np.str_("text"), 2), NUMPY_NAMES)
