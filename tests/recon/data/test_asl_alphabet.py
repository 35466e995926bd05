"""Folders of letters -> reader: a caption from the folder's name, the whole photo as box, `nothing` is empty."""

import pickle
from pathlib import Path

import pytest

from recon.data.asl_alphabet import SIGNS, AslAlphabet
from recon.files import FileError
from tests.data_sets import asl_alphabet as fixture
from tests.data_sets.truth import truths


@pytest.mark.parametrize("nested", [True, False])
def test_photos_carry_the_name_of_their_folder(tmp_path: Path, nested: bool) -> None:
    fixture.write(tmp_path, truths(8), nested)
    reader = pickle.loads(pickle.dumps(AslAlphabet(tmp_path, "train")))
    assert len(reader) == 8 and reader.expected == 87_000
    found = [hand for index in range(8) for hand in reader.read(index).hands]
    assert [hand.caption for hand in found] == [
        *["the ASL letter A"] * 2, *["the ASL letter B"] * 2, *["the ASL sign for space"] * 2,
    ]  # fmt: skip
    for hand in found:
        assert hand.box.tolist() == [0, 0, 128, 128] and not hand.keypoints_2d.any() and hand.is_right is None
        assert hand.joints is None and hand.hand_pose is None and hand.betas is None
    assert found[1].sample_id == "asl-alphabet/train/A/A2.jpg/0"
    assert found[0].image == Path(reader.file(0)).read_bytes()
    empty = [reader.read(index) for index in range(8) if "nothing" in reader.file(index)]
    assert [frame.hands for frame in empty] == [(), ()] and "no hand" in empty[0].empty
    assert len(SIGNS) == 28


def test_the_test_split_reads_the_sign_from_the_file_name(tmp_path: Path) -> None:
    fixture.write(tmp_path, truths(8))
    reader = AslAlphabet(tmp_path, "test")
    assert len(reader) == 4 and reader.expected == 28
    captions = [hand.caption for index in range(4) for hand in reader.read(index).hands]
    assert captions == ["the ASL letter A", "the ASL letter B", "the ASL sign for space"]


def test_damaged_photos_and_odd_folders_are_named(tmp_path: Path) -> None:
    folder = fixture.write(tmp_path, truths(8))
    (folder / "A" / "A1.jpg").write_bytes(b"\xff\xd8 no photo")
    reader = AslAlphabet(tmp_path, "train")
    with pytest.raises(FileError, match="A1.jpg is not a readable image"):
        reader.read(0)
    assert reader.read(1).hands
    (folder / "A" / "A2.jpg").unlink()
    with pytest.raises(FileError, match="A2.jpg does not exist"):
        reader.read(1)
    (folder / "AA").mkdir()
    (folder / "AA" / "x.jpg").write_bytes(b"x")
    with pytest.raises(FileError, match="AA is no sign of the alphabet"):
        AslAlphabet(tmp_path, "train")
    with pytest.raises(FileError, match="asl_alphabet_train does not exist"):
        AslAlphabet(folder, "train")
