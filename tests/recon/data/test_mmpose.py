"""The reader of mmpose's hand files: rendered hands written in its form come back, damage is named."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from recon.data.mmpose import Mmpose
from recon.data.reader import reader_class
from recon.data.record import HandRecord, project_points
from recon.files import FileError
from tests.data_sets.mmpose import write
from tests.data_sets.truth import truths

REAL = Path(__file__).parents[4] / "shared" / "real_hands" / "annotated"
real = pytest.mark.skipif(not REAL.is_dir(), reason="no real photos beside the project")


@pytest.mark.parametrize("form", ["RHD", "OneHand10K"])
def test_what_is_written_comes_back_in_our_own_terms(tmp_path: Path, form: str):
    write(tmp_path, truths(8), form=form, empty=(5, 6), unlabelled={4: (0, 1, 20)})
    reader = pickle.loads(pickle.dumps(reader_class("mmpose")(tmp_path, "test")))
    assert isinstance(reader, Mmpose) and len(reader) == 8
    for index, truth in enumerate(truths(8)):
        frame = reader.read(index)
        if index in (5, 6):
            assert frame.hands == () and frame.empty == "no hand is labelled"
            continue
        (record,) = frame.hands
        assert record.sample_id == f"mmpose/test/{100 + index:05d}.png/0"
        assert record.image == Path(reader.file(index)).read_bytes()
        labelled = np.ones(21, bool)
        if index == 4:
            labelled[[0, 1, 20]] = False
        assert (record.keypoints_2d[:, 2] == labelled).all()
        assert np.abs(record.keypoints_2d[labelled, :2] - truth.keypoints_2d[labelled, :2]).max() < 0.5
        assert np.abs(record.box[:2] - (truth.keypoints_2d[:, :2].min(0) - 4)).max() < 1e-3
        assert np.abs(record.box[2:] - (truth.keypoints_2d[:, :2].max(0) + 4)).max() < 1e-3
        if form == "RHD":
            assert record.is_right == truth.is_right
            assert np.abs(record.joints - truth.joints).max() < 1e-4
            assert np.abs(record.transl - truth.joints[0]).max() < 1e-4
            assert np.abs(project_points(record.joints, record.intrinsics) - truth.keypoints_2d[:, :2]).max() < 0.5
        else:
            assert record.is_right is None and record.joints is None and record.intrinsics is None


def test_what_is_missing_or_damaged_is_named(tmp_path: Path):
    write(tmp_path, truths(8))
    reader = Mmpose(tmp_path, "test")
    (tmp_path / "00101.png").write_bytes((tmp_path / "00101.png").read_bytes()[:200])
    with pytest.raises(FileError, match="00101.png"):
        reader.read(1)
    with pytest.raises(
        FileError, match="one JSON file with 'train' in its name, as rhd_train.json; it has test_rhd.js"
    ):
        Mmpose(tmp_path, "train")
    path = tmp_path / "test_rhd.json"
    whole = path.read_text()
    changes = {
        "hand_type is 'both'; it must be right or left": lambda row: row.update(hand_type="both"),
        r"hand_type is \['left'\]; it must be right or left": lambda row: row.update(hand_type=["left"]),
        "has no key 'bbox'": lambda row: row.pop("bbox"),
        "has no key 'keypoints'": lambda row: row.pop("keypoints"),
        r"joint_cam has the shape \[20, 3\]": lambda row: row["joint_cam"].pop(),
        r"keypoints has the shape \[20, 3\]": lambda row: row["keypoints"].pop(),
    }
    for message, change in changes.items():
        content = json.loads(whole)
        change(content["annotations"][-1])
        path.write_text(json.dumps(content))
        with pytest.raises(FileError, match=f"test_rhd.json: annotation 0 of 00100.png.*{message}"):
            Mmpose(tmp_path, "test").read(0)
    content = json.loads(whole)
    del content["images"][0]["cam_param"]["focal"]
    path.write_text(json.dumps(content))
    with pytest.raises(FileError, match="test_rhd.json: cam_param of 00100.png has no key 'focal'"):
        Mmpose(tmp_path, "test").read(0)
    path.write_text(json.dumps(json.loads(whole) | {"info": {"description": "Hands"}}))
    with pytest.raises(
        FileError, match="test_rhd.json says in info that it is 'Hands'; known orders of joints are those"
    ):
        Mmpose(tmp_path, "test")
    path.write_text(whole[:-9])
    with pytest.raises(FileError, match="test_rhd.json is not JSON"):
        Mmpose(tmp_path, "test")
    shutil.copy(path, tmp_path / "panoptic_test.json")
    with pytest.raises(FileError, match="must hold one JSON file with 'test' in its name"):
        Mmpose(tmp_path, "test")


def real_hands(name: str) -> list[HandRecord]:
    reader = Mmpose(REAL / name, "test")
    return [hand for index in range(len(reader)) for hand in reader.read(index).hands]


def bones(points: np.ndarray) -> np.ndarray:
    """Lengths [5,4] of each finger's bones, from the wrist out."""
    fingers = points[1:].reshape(5, 4, -1)
    start = np.broadcast_to(points[0], (5, 1, points.shape[1]))
    return np.linalg.norm(np.diff(np.concatenate((start, fingers), axis=1), axis=1), axis=2)


@real
def test_real_hands_of_rhd_are_metric_and_go_from_base_to_tip():
    hands = real_hands("rhd")
    assert [hand.is_right for hand in hands] == [False, False, True]
    for hand in hands:
        assert np.abs(project_points(hand.joints, hand.intrinsics) - hand.keypoints_2d[:, :2]).max() < 1
        lengths = bones(hand.joints)
        assert (lengths[1:, 0] > 2 * lengths[1:, 1:].max(axis=1)).all()  # the palm is longer than any finger bone
        assert (lengths[:, 1:] > 0.015).all() and (lengths[:, 1:] < 0.05).all() and (lengths[1:, 0] < 0.1).all()


@real
@pytest.mark.parametrize(("name", "count"), [("panoptic", 4), ("onehand10k", 4)])
def test_real_hands_of_flat_sets_lie_in_their_boxes(name: str, count: int):
    hands = real_hands(name)
    assert len(hands) == count
    for hand in hands:
        labelled = hand.keypoints_2d[:, 2] > 0
        points = hand.keypoints_2d[labelled, :2]
        assert labelled.sum() >= 7 and hand.is_right is None and hand.joints is None
        assert (points >= hand.box[:2] - 1).all() and (points <= hand.box[2:] + 1).all()
