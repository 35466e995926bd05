"""The reader of CMU Panoptic's MTC: rendered hands written in its form come back, damage is named."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from recon.data.mtc import Mtc
from recon.data.numpy_pickles import NUMPY_NAMES
from recon.data.reader import reader_class
from recon.files import FileError, unpickle
from tests.data_sets.mtc import SEQUENCE, frame, write
from tests.data_sets.python2 import python2_pickle
from tests.data_sets.truth import Truth, truths


def other(truth: Truth) -> Truth:
    return next(candidate for candidate in truths(8) if candidate.is_right != truth.is_right)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, truths(8), both={2: other(truths(8)[2])}, empty=(3, 6))
    return tmp_path


@pytest.mark.parametrize("split", ["training", "testing"])
def test_what_is_written_comes_back_in_our_own_terms(root: Path, split: str):
    reader = pickle.loads(pickle.dumps(reader_class("mtc")(root, split)))
    assert isinstance(reader, Mtc)
    moments = range(6) if split == "training" else range(6, 8)
    assert len(reader) == len(moments)
    for index, moment in enumerate(moments):
        truth, found = truths(8)[moment], reader.read(index)
        if moment in (3, 6):
            assert found.hands == () and found.empty == "no hand is labelled"
            continue
        if moment == 2:
            continue
        (record,) = found.hands
        picture = f"hdImgs/{SEQUENCE}/{frame(moment)}/00_{moment:02d}_{frame(moment)}.jpg"
        assert record.sample_id == f"mtc/{split}/{picture}/0" and record.is_right == truth.is_right
        assert record.image == Path(reader.file(index)).read_bytes()
        assert np.abs(record.joints - truth.joints).max() < 1e-4
        assert np.abs(record.transl - truth.joints[0]).max() < 1e-4
        assert np.abs(record.keypoints_2d[:, :2] - truth.keypoints_2d[:, :2]).max() < 0.5
        inside = ((truth.keypoints_2d[:, :2] >= 0) & (truth.keypoints_2d[:, :2] < 128)).all(axis=1)
        assert (record.keypoints_2d[:, 2] == inside).all()
        assert np.abs(record.intrinsics - truth.intrinsics).max() < 1e-3
        assert np.abs(record.box[:2] - record.keypoints_2d[:, :2].min(0)).max() < 1e-3
        assert record.betas is None and record.hand_pose is None


def test_hands_that_share_a_picture_are_told_apart(root: Path):
    hands = Mtc(root, "training").read(2).hands
    assert len({hand.sample_id for hand in hands}) == 2
    assert sorted(hand.is_right for hand in hands) == [False, True]
    for record in hands:
        truth = truths(8)[2] if truths(8)[2].is_right == record.is_right else other(truths(8)[2])
        assert np.abs(record.joints - truth.joints).max() < 1e-4


def bent(truth: Truth, k1: float, k2: float, p1: float, p2: float, k3: float) -> np.ndarray:
    """Pixels through a lens, by the formula of Brown's model joint by joint."""
    pixels = []
    for x, y, z in truth.joints:
        a, b = x / z, y / z
        r2 = a * a + b * b
        radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
        u = a * radial + 2 * p1 * a * b + p2 * (r2 + 2 * a * a)
        v = b * radial + p1 * (r2 + 2 * b * b) + 2 * p2 * a * b
        pixels.append((truth.intrinsics @ [u, v, 1])[:2])
    return np.array(pixels)


def test_a_lens_that_distorts_moves_the_pixels_and_leaves_no_camera_matrix(tmp_path: Path):
    lens = (-0.28, 0.18, 0.01, -0.02, 0.05)
    write(tmp_path, truths(8), distortion=lens)
    reader, moved = Mtc(tmp_path, "training"), []
    for index in range(6):
        (record,) = reader.read(index).hands
        truth = truths(8)[index]
        assert record.intrinsics is None
        assert np.abs(record.joints - truth.joints).max() < 1e-4
        assert np.abs(record.keypoints_2d[:, :2] - bent(truth, *lens)).max() < 0.01
        moved.append(np.abs(record.keypoints_2d[:, :2] - truth.keypoints_2d[:, :2]).max())
    assert max(moved) > 0.05


def test_cameras_may_come_without_a_distortion(tmp_path: Path):
    write(tmp_path, truths(8), distortion=None)
    record = Mtc(tmp_path, "training").read(0).hands[0]
    assert np.abs(record.keypoints_2d[:, :2] - truths(8)[0].keypoints_2d[:, :2]).max() < 0.5


def test_a_hand_behind_or_beside_the_camera_has_no_record(root: Path):
    cameras = unpickle(root / "camera_data.pkl", NUMPY_NAMES)
    for number, shift in ((0, [0.0, 0, -1000]), (1, [1000.0, 0, 0])):
        cameras[SEQUENCE][number]["t"] = cameras[SEQUENCE][number]["t"] + np.array(shift)[:, None]
    (root / "camera_data.pkl").write_bytes(python2_pickle(cameras))
    reader = Mtc(root, "training")
    for index in (0, 1):
        assert reader.read(index).hands == ()
        assert reader.read(index).empty == "no labelled hand lies in the picture"
    assert len(reader.read(4).hands) == 1


class Malicious:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.trace}",)


def test_what_is_missing_or_damaged_is_named(root: Path):
    reader = Mtc(root, "training")
    picture = Path(reader.file(1))
    picture.write_bytes(picture.read_bytes()[:200])
    with pytest.raises(FileError, match=picture.name):
        reader.read(1)
    picture.rename(picture.with_name("00_31_other.jpg"))
    with pytest.raises(FileError, match="00_31_other.jpg must be named 00_CAMERA_00003885.jpg"):
        Mtc(root, "training").read(1)
    picture.with_name("00_31_other.jpg").rename(picture.with_name(f"00_30_{frame(1)}.jpg"))
    with pytest.raises(FileError, match=f"camera_data.pkl has no camera 30 of {SEQUENCE}"):
        Mtc(root, "training").read(1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("training_data"), "has no key 'training_data'"),
        (lambda c: c["training_data"][1].pop("seqName"), r"training_data\[1\] has no key 'seqName'"),
        (lambda c: c["training_data"][1].update(seqName="../.."), r"\[1\]: seqName names the file '../..'"),
        (lambda c: c["training_data"][1].update(left_hand={}), r"\[1\]: left_hand has no key 'landmarks'"),
        (
            lambda c: c["training_data"][1].update(right_hand={"landmarks": [0.0] * 60}),
            r"landmarks has the shape \[60\]",
        ),
    ],
)
def test_annotations_that_do_not_fit_are_named(root: Path, change, message: str):
    content = unpickle(root / "annotation.pkl", NUMPY_NAMES)
    change(content)
    (root / "annotation.pkl").write_bytes(python2_pickle(content))
    with pytest.raises(FileError, match=f"annotation.pkl.*{message}"):
        Mtc(root, "training")


def test_cameras_that_do_not_fit_are_named(root: Path, tmp_path: Path):
    whole = (root / "camera_data.pkl").read_bytes()
    for key, value, message in (("t", None, "has no key 't'"), ("R", np.eye(4), r"R has the shape \[4, 4\]")):
        content = unpickle(whole, NUMPY_NAMES)
        content[SEQUENCE][5].pop(key)
        content[SEQUENCE][5].update({} if value is None else {key: value})
        (root / "camera_data.pkl").write_bytes(python2_pickle(content))
        with pytest.raises(FileError, match=f"camera_data.pkl: {SEQUENCE}, camera 5.*{message}"):
            Mtc(root, "training")
    (root / "camera_data.pkl").write_bytes(whole[:150])
    with pytest.raises(FileError, match="camera_data.pkl is not a readable pickle"):
        Mtc(root, "training")
    (root / "camera_data.pkl").write_bytes(pickle.dumps({"a": Malicious(tmp_path / "ran")}, protocol=2))
    with pytest.raises(FileError, match="asks for posix.system, which is not allowed"):
        Mtc(root, "training")
    assert not (tmp_path / "ran").exists()


def test_a_tree_without_its_pictures_is_named(root: Path):
    (root / "hdImgs").rename(root / "elsewhere")
    with pytest.raises(FileError, match="hdImgs holds no picture of the 6 annotated moments"):
        Mtc(root, "training")
