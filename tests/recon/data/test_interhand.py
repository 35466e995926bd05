"""The reader of InterHand2.6M: rendered hands written in its form come back, damage is named."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from recon.data.interhand import InterHand
from recon.data.reader import reader_class
from recon.data.record import project_points
from recon.files import FileError
from tests.data_sets.interhand import write
from tests.data_sets.rebuild import made_up_basis, rebuilt_joints
from tests.data_sets.truth import Truth, truths

BASIS = made_up_basis()
REAL = Path(__file__).parents[4] / "shared" / "real_hands" / "annotated" / "interhand2.6m"
real = pytest.mark.skipif(not REAL.is_dir(), reason="no real photos beside the project")


def of_side(is_right: bool) -> list[Truth]:
    return [truth for truth in truths(8) if truth.is_right == is_right]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    hands = truths(8)
    write(tmp_path, hands, BASIS, both={2: of_side(not hands[2].is_right)[0]}, empty=(5, 6), invalid={4: (0, 8, 20)})
    return tmp_path


def table(root: Path, kind: str) -> Path:
    return root / "annotations" / "train" / f"InterHand2.6M_train_{kind}.json"


def test_what_is_written_comes_back_in_our_own_terms(root: Path):
    reader = pickle.loads(pickle.dumps(reader_class("interhand26m")(root, "train", BASIS)))
    assert isinstance(reader, InterHand) and len(reader) == 8 and reader.needs_mano
    for index, truth in enumerate(truths(8)):
        if index in (2, 4, 5, 6):
            continue
        (record,) = reader.read(index).hands
        assert record.is_right == truth.is_right and record.hand == ("right" if truth.is_right else "left")
        assert record.image == Path(reader.file(index)).read_bytes()
        assert record.image_id.startswith("images/train/Capture3/0390_dh_touchROM/cam4000")
        assert np.abs(record.joints - truth.joints).max() < 1e-4
        assert np.abs(record.keypoints_2d[:, :2] - truth.keypoints_2d[:, :2]).max() < 0.5
        assert (record.keypoints_2d[:, 2] == 1).all()
        assert np.abs(rebuilt_joints(record) - truth.joints).max() < 1e-4
        around = np.concatenate((truth.keypoints_2d[:, :2].min(0) - 3, truth.keypoints_2d[:, :2].max(0) + 3))
        assert np.abs(record.box - around).max() < 1e-3


def test_hands_that_share_a_picture_are_records_of_their_own(root: Path):
    first, second = InterHand(root, "train", BASIS).read(2).hands
    one, other = truths(8)[2], of_side(not truths(8)[2].is_right)[0]
    right, left = (one, other) if one.is_right else (other, one)
    for record, truth in ((first, right), (second, left)):
        assert record.is_right == truth.is_right
        assert np.abs(record.joints - truth.joints).max() < 1e-4
        assert np.abs(rebuilt_joints(record) - truth.joints).max() < 1e-4
        assert np.abs(record.box[:2] - record.keypoints_2d[:, :2].min(0)).max() < 1e-3
    assert first.image_id == second.image_id and first.sample_id != second.sample_id


def test_joints_that_are_not_valid_are_not_labels(root: Path):
    (record,) = InterHand(root, "train", BASIS).read(4).hands
    assert record.joints is None and record.transl is None
    labelled = np.ones(21, bool)
    labelled[[0, 8, 20]] = False
    assert (record.keypoints_2d[:, 2] == labelled).all() and not record.keypoints_2d[~labelled].any()
    truth = truths(8)[4]
    assert np.abs(record.keypoints_2d[labelled, :2] - truth.keypoints_2d[labelled, :2]).max() < 0.5


def test_frames_without_a_valid_joint_say_so(root: Path):
    reader = InterHand(root, "train")
    for index in (5, 6):
        assert reader.read(index).hands == () and reader.read(index).empty == "no hand is labelled"


def test_the_mean_pose_is_added_only_when_given(root: Path):
    record = InterHand(root, "train").read(0).hands[0]
    assert record.hand_pose is None and record.betas is not None
    assert np.abs(record.global_orient - truths(8)[0].global_orient).max() < 1e-4
    table(root, "MANO_NeuralAnnot").unlink()
    record = InterHand(root, "train", BASIS).read(0).hands[0]
    assert record.betas is None and record.global_orient is None and record.hand_pose is None
    assert np.abs(record.transl - truths(8)[0].joints[0]).max() < 1e-4


def spoil(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_what_is_missing_or_damaged_is_named(root: Path):
    reader = InterHand(root, "train")
    Path(reader.file(1)).write_bytes(Path(reader.file(1)).read_bytes()[:300])
    with pytest.raises(FileError, match="image1007.jpg"):
        reader.read(1)
    changes = {
        "camera": (lambda c: c["3"].pop("focal"), "camera.json: capture 3 has no key 'focal'"),
        "joint_3d": (lambda c: c["3"].pop("1014"), "joint_3d.json has no frame 1014 of capture 3"),
        "data": (lambda c: c["images"][0].pop("camera"), "data.json: an image has no key 'camera'"),
        "MANO_NeuralAnnot": (lambda c: [r and r.pop("pose") for r in c["3"]["1000"].values()], "has no key 'pose'"),
    }
    for kind, (change, message) in changes.items():
        whole = table(root, kind).read_text()
        spoil(table(root, kind), change)
        with pytest.raises(FileError, match=message):
            InterHand(root, "train")
        table(root, kind).write_text(whole[:-40])
        with pytest.raises(FileError, match=f"{kind}.json is not JSON"):
            InterHand(root, "train")
        table(root, kind).write_text(whole)
    whole = table(root, "data").read_text()
    for rows, key in (("images", "id"), ("annotations", "image_id")):
        spoil(table(root, "data"), lambda c, rows=rows, key=key: c[rows][0].update({key: None}))
        with pytest.raises(FileError, match=f"data.json: an .* has '{key}' None; it must be a number or a name"):
            InterHand(root, "train")
        table(root, "data").write_text(whole)
    spoil(table(root, "joint_3d"), lambda c: c["3"]["1000"]["world_coord"].pop())
    with pytest.raises(FileError, match=r"frame 1000: world_coord has the shape \[41, 3\]; it must be \[42, 3\]"):
        InterHand(root, "train")


def test_a_picture_outside_the_folder_is_refused(root: Path):
    spoil(table(root, "data"), lambda c: c["images"][0].update(file_name="../../secret.jpg"))
    with pytest.raises(FileError, match="image 50 names the file '../../secret.jpg'; it must be a name below"):
        InterHand(root, "train")


@pytest.fixture
def real_root(tmp_path: Path) -> Path:
    """The real sample in the folders of the whole set."""
    (tmp_path / "annotations" / "test").mkdir(parents=True)
    (tmp_path / "images" / "test").mkdir(parents=True)
    for path in REAL.glob("*.json"):
        kind = path.stem.removeprefix("test_interhand2.6m_")
        shutil.copy(path, tmp_path / "annotations" / "test" / f"InterHand2.6M_test_{kind}.json")
    for path in REAL.glob("*.jpg"):
        shutil.copy(path, tmp_path / "images" / "test" / path.name)
    return tmp_path


@real
def test_real_hands_lie_in_the_boxes_that_the_set_draws(real_root: Path):
    reader = InterHand(real_root, "test")
    frames = [reader.read(index) for index in range(len(reader))]
    sides = [[hand.hand for hand in frame.hands] for frame in frames]
    assert sides == [["right", "left"], ["right", "left"], ["left"], ["right"]]
    for index, frame in enumerate(frames):
        x0, y0, x1, y1 = reader._boxes[index]
        for hand in frame.hands:
            assert np.abs(project_points(hand.joints, hand.intrinsics) - hand.keypoints_2d[:, :2]).max() < 1
            assert 0.05 < np.linalg.norm(hand.joints[9] - hand.joints[0]) < 0.13
            points = hand.keypoints_2d[:, :2]
            assert (points > [x0, y0]).all() and (points < [x1, y1]).all()
            assert (np.ptp(points, axis=0) > 20).all()
