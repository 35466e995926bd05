"""HInt's tables -> reader: pixels, sides, boxes, and which joints are seen, hidden or not labelled."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from recon.data.hint import OCCLUDED, Hint
from recon.files import FileError
from tests.data_sets import hint as fixture
from tests.data_sets.truth import truths


def test_every_hand_comes_back(tmp_path: Path) -> None:
    fixture.write(tmp_path, truths(8))
    reader = pickle.loads(pickle.dumps(Hint(tmp_path, "newdays")))
    assert len(reader) == 7 and reader.expected == 1754
    hands = [hand for index in range(7) for hand in reader.read(index).hands]
    assert len(hands) == 8 and len(reader.read(6).hands) == 2 and len({hand.sample_id for hand in hands}) == 8
    for index, (hand, truth) in enumerate(zip(hands, truths(8), strict=True)):
        points = truth.keypoints_2d[:, :2]
        np.testing.assert_allclose(hand.keypoints_2d[:, :2], points, atol=0.5)
        np.testing.assert_allclose(hand.box, [*points.min(0), *points.max(0)], atol=0.01)
        assert hand.is_right == truth.is_right and hand.joints is None and hand.hand_pose is None
        assert (hand.keypoints_2d[5:20, 2] == 1).all() and hand.keypoints_2d[20, 2] == 0
        assert (hand.keypoints_2d[:5, 2] == (OCCLUDED if index else 1)).all()  # the first row: none is called hidden
    assert reader.file(0).endswith("TEST_newdays_img/newdays_0000_r.jpg")


def test_without_the_parts_all_labelled_joints_count_alike(tmp_path: Path) -> None:
    fixture.write(tmp_path, truths(8), kinds=("all",), scale=np.full(8, 50.0))
    (hand,) = Hint(tmp_path, "newdays").read(0).hands
    assert hand.keypoints_2d[:, 2].tolist() == [1] * 20 + [0]
    assert np.allclose(hand.box[2:] - hand.box[:2], 50)


def test_frames_without_a_labelled_joint_are_empty(tmp_path: Path) -> None:
    points = np.zeros((8, 21, 3))
    points[2:, :, 2] = 1
    fixture.write(tmp_path, truths(8), kinds=("all",), hand_keypoints_2d=points)
    reader = Hint(tmp_path, "newdays")
    assert [len(reader.read(index).hands) for index in range(7)] == [0, 0, 1, 1, 1, 1, 2]
    assert reader.read(1).empty == "no hand is labelled"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"right": None}, "all.npz has no array 'right'"),
        ({"right": np.ones(7)}, r"all.npz: 'right' has the shape \[7, 1\]; it must be \[8, 1\]"),
        ({"right": np.array(["r"] * 8)}, "all.npz: 'right' must hold numbers"),
        ({"right": np.ones(())}, "all.npz: 'right' has the shape"),
        ({"center": np.zeros((8, 3))}, r"all.npz: 'center' has the shape \[8, 3\]"),
        ({"scale": np.zeros((8, 2))}, "all.npz: 'scale' must be one or two sides above 0"),
        ({"imgname": np.array(["../x.jpg"] * 8)}, "all.npz: 'imgname' names '../x.jpg'"),
        ({"imgname": np.array(["x.jpg"] * 8, object)}, "holds Python objects"),
        ({"hand_keypoints_2d": np.zeros((8, 20, 3))}, "'hand_keypoints_2d' has the shape"),
    ],
)
def test_odd_tables_are_named(tmp_path: Path, changes: dict, message: str) -> None:
    fixture.write(tmp_path, truths(8), kinds=("all",), **changes)
    with pytest.raises(FileError, match=message):
        Hint(tmp_path, "newdays")


def test_damaged_and_missing_files_are_named(tmp_path: Path) -> None:
    tables = fixture.write(tmp_path, truths(8))
    reader = Hint(tmp_path, "newdays")
    photo = Path(reader.file(1))
    photo.write_bytes(photo.read_bytes()[:500])
    with pytest.raises(FileError, match=photo.name):
        reader.read(1)
    photo.unlink()
    with pytest.raises(FileError, match=f"{photo.name} does not exist"):
        reader.read(1)
    assert reader.read(0).hands
    other = tables / "TEST_newdays_img_vis.npz"
    other.write_bytes(other.read_bytes()[:200])
    with pytest.raises(FileError, match="vis.npz is not a readable npz file"):
        Hint(tmp_path, "newdays")
    with pytest.raises(FileError, match="TEST_epick_img_all.npz does not exist"):
        Hint(tmp_path, "epick")


def test_parts_of_another_table_are_refused(tmp_path: Path) -> None:
    tables = fixture.write(tmp_path / "a", truths(8))
    fixture.write(tmp_path / "b", truths(8)[::-1])
    (tables / "TEST_newdays_img_vis.npz").write_bytes(
        (tmp_path / "b/hamer_evaluation_data/TEST_newdays_img_vis.npz").read_bytes()
    )
    with pytest.raises(FileError, match="vis.npz has a hand in newdays_0000_r.jpg that is not in"):
        Hint(tmp_path / "a", "newdays")
