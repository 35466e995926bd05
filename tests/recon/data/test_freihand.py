"""FreiHAND's tree, written from rendered hands, read back: labels, masks, an unlabelled evaluation, damage."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from recon.data.freihand import FreiHand
from recon.data.reader import reader_class
from recon.files import FileError, open_image
from tests.data_sets.freihand import write
from tests.data_sets.rebuild import made_up_basis, rebuilt_joints
from tests.data_sets.truth import Truth, truths

BASIS = made_up_basis()


def right_hands() -> tuple[Truth, ...]:
    return tuple(truth for truth in truths(8) if truth.is_right)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, right_hands(), BASIS)
    return tmp_path


@pytest.mark.parametrize("split", ["training", "evaluation"])
def test_what_is_written_comes_back_in_our_own_terms(root: Path, split: str):
    hands = right_hands()
    reader = pickle.loads(pickle.dumps(reader_class("freihand")(root, split, BASIS)))
    assert isinstance(reader, FreiHand)
    assert len(reader) == len(hands) * (4 if split == "training" else 1)
    assert reader.expected == (130_240 if split == "training" else 3_960)
    for index in range(len(reader)):
        truth, frame = hands[index % len(hands)], reader.read(index)
        (record,) = frame.hands
        assert record.sample_id == f"freihand/{split}/{split}/rgb/{index:08d}.jpg/right"
        assert record.is_right and (record.split, record.image_id) == (split, f"{split}/rgb/{index:08d}.jpg")
        assert record.image == Path(reader.file(index)).read_bytes()
        assert np.abs(record.joints - truth.joints).max() < 1e-4
        assert np.abs(record.vertices - truth.vertices).max() < 1e-4
        assert np.abs(record.keypoints_2d[:, :2] - truth.keypoints_2d[:, :2]).max() < 0.5
        assert (record.keypoints_2d[:, 2] == 1).all()
        assert np.abs(rebuilt_joints(record) - truth.joints).max() < 1e-4
        assert np.abs(record.betas - truth.betas).max() < 1e-5
        assert (record.box[:2] < record.keypoints_2d[:, :2].min(0) + 1).all()
        assert (record.box[2:] > record.keypoints_2d[:, :2].max(0) - 1).all()


def test_the_mask_is_the_pose_s_in_all_versions_of_the_picture(root: Path):
    reader, hands = FreiHand(root, "training"), right_hands()
    for index in (1, 1 + len(hands), 1 + 3 * len(hands)):
        mask = np.asarray(open_image(reader.read(index).hands[0].mask))[..., 0] > 127
        assert (mask != hands[1].mask).mean() < 0.01
    assert FreiHand(root, "evaluation").read(1).hands[0].mask is None


def test_fingers_are_null_without_the_mean_that_they_are_written_from(root: Path):
    record = FreiHand(root, "training").read(0).hands[0]
    assert record.hand_pose is None
    assert np.abs(record.global_orient - right_hands()[0].global_orient).max() < 1e-5
    assert (
        np.abs(FreiHand(root, "training", BASIS).read(0).hands[0].hand_pose - right_hands()[0].hand_pose).max() < 1e-5
    )


def test_an_evaluation_split_of_cameras_only_still_shows_its_hand(tmp_path: Path):
    write(tmp_path, right_hands(), BASIS, released=False)
    record = FreiHand(tmp_path, "evaluation", BASIS).read(2).hands[0]
    labels = (record.joints, record.vertices, record.betas, record.global_orient, record.hand_pose, record.transl)
    assert all(label is None for label in labels)
    assert record.box.tolist() == [0, 0, 128, 128] and not record.keypoints_2d.any()
    assert np.abs(record.intrinsics - right_hands()[2].intrinsics).max() < 1e-3


def test_what_is_missing_or_damaged_is_named(root: Path):
    with pytest.raises(FileError, match="freihand has no split 'test'; it has training, evaluation"):
        FreiHand(root, "test")
    picture = root / "training" / "rgb" / "00000001.jpg"
    picture.write_bytes(picture.read_bytes()[:200])
    with pytest.raises(FileError, match="00000001.jpg"):
        FreiHand(root, "training").read(1)
    (root / "training" / "mask" / "00000000.jpg").unlink()
    with pytest.raises(FileError, match="mask/00000000.jpg does not exist"):
        FreiHand(root, "training").read(0)
    rows = json.loads((root / "training_xyz.json").read_text())
    (root / "training_xyz.json").write_text(json.dumps(rows[:-1]))
    with pytest.raises(FileError, match="training_xyz.json has 3 rows, but .*training_K.json 4"):
        FreiHand(root, "training")
    (root / "training_xyz.json").write_text(json.dumps([row[:20] for row in rows]))
    with pytest.raises(FileError, match=r"training_xyz.json has the shape \[4, 20, 3\]; it must be \[n, 21, 3\]"):
        FreiHand(root, "training")
    (root / "training_xyz.json").write_text("[[[1, 2")
    with pytest.raises(FileError, match="training_xyz.json is not JSON"):
        FreiHand(root, "training")
    (root / "training_xyz.json").unlink()
    with pytest.raises(FileError, match="training_xyz.json does not exist"):
        FreiHand(root, "training")
