"""HaMeR's tars -> reader: the same hands, flags obeyed, damage and foreign pickles named."""

import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from recon.data.hamer_tars import HamerTars
from recon.files import FileError
from tests.data_sets import hamer_tars as fixture
from tests.data_sets.rebuild import encoded, rebuilt_joints
from tests.data_sets.truth import truths


@pytest.fixture
def hands() -> tuple:
    return truths(8)


def test_every_hand_comes_back(tmp_path: Path, hands: tuple) -> None:
    pictures = [(truth, [fixture.labels(truth)]) for truth in hands[:6]] + [(hands[6], [])] * 2
    fixture.write(tmp_path, pictures)
    reader = pickle.loads(pickle.dumps(HamerTars(tmp_path, "freihand")))
    assert len(reader) == 8 and reader.expected == 130_240 and {truth.is_right for truth in hands[:6]} == {True, False}
    for index, truth in enumerate(hands[:6]):
        (hand,) = reader.read(index).hands
        np.testing.assert_allclose(hand.joints, truth.joints, atol=1e-4)
        np.testing.assert_allclose(hand.keypoints_2d[:, :2], truth.keypoints_2d[:, :2], atol=0.5)
        np.testing.assert_allclose(rebuilt_joints(hand), truth.joints, atol=1e-4)
        assert hand.is_right == truth.is_right and hand.intrinsics is None and hand.image[:2] == b"\xff\xd8"
        points = truth.keypoints_2d[:, :2]
        np.testing.assert_allclose(hand.box, [*points.min(0), *points.max(0)], atol=1e-3)
        assert hand.sample_id == f"hamer/freihand/{index // 2:06d}/freihand-train/{index:08d}/0"
    assert reader.read(7).hands == () and reader.read(7).empty == "no hand is labelled"
    assert "000002.tar, freihand-train/00000005" in reader.file(5)


def test_flags_take_labels_away_and_a_picture_may_show_two_hands(tmp_path: Path, hands: tuple) -> None:
    first, second = hands[:2]
    relative = np.column_stack([second.joints - second.joints[0], np.ones(21)])
    unsure = np.column_stack([first.joints, np.arange(21) != 3])
    shown = [
        fixture.labels(first, has_hand_pose=np.array(0.0), keypoints_3d=unsure),
        fixture.labels(second, has_betas=False, keypoints_3d=relative),
    ]
    fixture.write(tmp_path, [(first, shown)], "rhd")
    one, two = HamerTars(tmp_path, "rhd").read(0).hands
    assert one.hand_pose is None and one.global_orient is None and one.betas is not None
    assert one.joints is None and one.transl is None  # a joint is not labelled
    assert two.joints is None and two.transl is None  # relative to the wrist
    assert two.betas is None and np.allclose(two.hand_pose, second.hand_pose, atol=1e-6)
    assert one.image == two.image and one.sample_id != two.sample_id and HamerTars(tmp_path, "rhd").expected is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints_2d": np.zeros((20, 3))}, r"hand 0: 'keypoints_2d' has the shape \[20, 3\]"),
        ({"keypoints_3d": np.zeros((21, 5))}, "'keypoints_3d' has the shape"),
        ({"scale": np.zeros(2)}, "'scale' is"),
        ({"right": "yes"}, "'right' must be 0 or 1"),
        ({"hand_pose": None}, "'hand_pose' must hold numbers"),
        ({"center": np.full(2, np.nan)}, "box holds numbers that are not finite"),
    ],
)
def test_odd_labels_are_named(tmp_path: Path, hands: tuple, change: dict, message: str) -> None:
    fixture.write(tmp_path, [(hands[0], [fixture.labels(hands[0], **change)])])
    with pytest.raises(FileError, match=message):
        HamerTars(tmp_path, "freihand").read(0)


def test_a_missing_key_is_named(tmp_path: Path, hands: tuple) -> None:
    entry = fixture.labels(hands[0])
    del entry["betas"]
    fixture.write(tmp_path, [(hands[0], [entry])])
    with pytest.raises(FileError, match=r"000000.tar, freihand-train/00000000.data.pyd, hand 0 has no 'betas'"):
        HamerTars(tmp_path, "freihand").read(0)


class Evil:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.trace}",)


def test_damage_is_of_one_picture_only(tmp_path: Path, hands: tuple) -> None:
    folder = fixture.write(tmp_path, [(hands[0], [fixture.labels(hands[0])])])
    good, jpeg = fixture.pickled([fixture.labels(hands[1])]), encoded(hands[1].image, "JPEG")
    members = {
        "a.jpg": jpeg[: len(jpeg) // 3], "a.data.pyd": good,
        "b.jpg": jpeg, "b.data.pyd": good[:-40],
        "c.jpg": jpeg, "c.data.pyd": pickle.dumps([Evil(tmp_path / "trace")]),
        "d.jpg": jpeg, "d.data.pyd": pickle.dumps({"no": "list"}),
        "e.jpg": jpeg,
        "f.data.pyd": good,
        "g.jpg": jpeg, "g.data.pyd": good, "g.detection.npz": b"ignored",
    }  # fmt: skip
    with tarfile.open(folder / "000001.tar", "w") as archive:
        for name, data in members.items():
            fixture.add(archive, name, data)
    reader = HamerTars(tmp_path, "freihand")
    messages = {
        "a": "is a damaged JPEG|is not a readable image",
        "b": "b.data.pyd is not a readable pickle",
        "c": "system, which is not allowed",
        "d": "holds a dict; it must hold a list",
        "e": "e has no data.pyd",
        "f": "f has no picture",
    }
    keys = {reader.file(index).rpartition(", ")[2]: index for index in range(len(reader))}
    for key, message in messages.items():
        with pytest.raises(FileError, match=message) as caught:
            reader.read(keys[key])
        assert "000001.tar" in str(caught.value)
    assert not (tmp_path / "trace").exists()
    assert reader.read(0).hands and reader.read(keys["g"]).hands


def test_pickles_of_protocol_5_build_plain_arrays_only(tmp_path: Path, hands: tuple) -> None:
    plain = fixture.pickled([fixture.labels(hands[0])], 5)
    assert b"_frombuffer" in plain
    forged = plain.replace(b"\x8c\x02f4", b"\x8c\x02O8")
    assert forged != plain
    folder = fixture.write(tmp_path, [(hands[0], [])])
    with tarfile.open(folder / "000001.tar", "w") as archive:
        fixture.add(archive, "a.jpg", encoded(hands[0].image, "JPEG"))
        fixture.add(archive, "a.data.pyd", forged)
    with pytest.raises(FileError, match="not allowed|not one of plain numbers"):
        HamerTars(tmp_path, "freihand").read(1)


def test_sets_that_are_not_there_and_tars_that_are_none(tmp_path: Path, hands: tuple) -> None:
    folder = fixture.write(tmp_path, [(hands[0], [])])
    with pytest.raises(FileError, match="mtc-train holds no tar"):
        HamerTars(tmp_path, "mtc")
    with pytest.raises(FileError, match="hamer has no split 'coco'"):
        HamerTars(tmp_path, "coco")
    info = tarfile.TarInfo("a.jpg")
    with tarfile.open(folder / "000001.tar", "w") as archive:
        archive.addfile(info, io.BytesIO())
        archive.addfile(info, io.BytesIO())
    with pytest.raises(FileError, match="000001.tar holds a.jpg twice"):
        HamerTars(tmp_path, "freihand")
    (folder / "000001.tar").write_bytes(b"\x1f\x8b" + bytes(600))
    with pytest.raises(FileError, match="compressed with gzip"):
        HamerTars(tmp_path, "freihand")
