"""DexYCB's tree read back: PCA poses of both sides, empty pictures, the official splits, damage."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml

from recon.data.reader import reader_class
from recon.files import FileError, open_image
from tests.data_sets.dexycb import CAMERAS, write, write_camera, write_meta
from tests.data_sets.rebuild import made_up_basis, rebuilt_joints
from tests.data_sets.truth import truths

BASIS = made_up_basis()
DexYcb = reader_class("dexycb")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, truths(8), BASIS)
    return tmp_path


def test_hands_of_both_sides_come_back_in_our_own_terms(root: Path):
    reader = pickle.loads(pickle.dumps(DexYcb(root, "all", BASIS)))
    assert len(reader) == 8 * 8 * 2 and reader.expected is None
    assert {truth.is_right for truth in truths(8)} == {True, False}
    for index, truth in enumerate(truths(8)):
        (record,) = reader.read(index * 16 + 2 * index + 1).hands
        assert record.image_id.endswith(f"20200709_14{index:02d}00/{CAMERAS[index]}/color_000001.jpg")
        assert record.sample_id == f"dexycb/all/{record.image_id}/{'right' if truth.is_right else 'left'}"
        assert record.is_right == truth.is_right and record.image == (root / record.image_id).read_bytes()
        assert np.abs(record.joints - truth.joints).max() < 1e-4
        assert np.abs(record.keypoints_2d[:, :2] - truth.keypoints_2d[:, :2]).max() < 0.5
        assert np.abs(record.intrinsics - truth.intrinsics).max() < 1e-3
        assert np.abs(rebuilt_joints(record) - truth.joints).max() < 1e-4
        assert ((np.asarray(open_image(record.mask))[..., 0] == 255) == truth.mask).all()


def test_pictures_without_a_hand_are_empty_and_files_are_those_that_are_read(root: Path):
    reader = DexYcb(root, "all", BASIS)
    frames = [reader.read(index) for index in range(16)]
    assert [bool(frame.hands) for frame in frames] == [False, True] + [False] * 14
    assert frames[0].empty == "no hand is labelled"
    files = [reader.file(index) for index in range(len(reader))]
    assert len(set(files)) == len(files) and all(Path(file).is_file() for file in files)


def test_fingers_are_null_without_mano(root: Path):
    record = DexYcb(root, "all").read(1).hands[0]
    assert record.hand_pose is None
    assert np.abs(record.global_orient - truths(8)[0].global_orient).max() < 1e-5
    assert np.abs(record.transl - truths(8)[0].joints[0]).max() < 1e-5


def test_the_official_splits_part_subjects_cameras_and_sessions(tmp_path: Path):
    for serial in CAMERAS:
        write_camera(tmp_path, serial, np.eye(3))
    names = [f"202007{number + 10}-subject-{number:02d}" for number in range(1, 11)]
    for name in names:
        for session in range(100):
            folder = tmp_path / name / f"{session:03d}"
            folder.mkdir(parents=True)
            (folder / "meta.yml").write_text("{num_frames: 1, mano_sides: [right], mano_calib: [shared]}")
    shape = tmp_path / "calibration" / "mano_shared" / "mano.yml"
    shape.parent.mkdir()
    shape.write_text(yaml.safe_dump({"betas": [0.0] * 10}))
    files = {}
    for split in DexYcb.splits:
        reader = DexYcb(tmp_path, split)
        files[split] = {reader.file(index) for index in range(len(reader))}
    sizes = {split: len(some) for split, some in files.items()}
    assert sizes == {
        "s0-train": 6400, "s0-val": 320, "s0-test": 1280, "s1-train": 5600, "s1-val": 800, "s1-test": 1600,
        "s2-train": 6000, "s2-val": 1000, "s2-test": 1000, "s3-train": 6000, "s3-val": 800, "s3-test": 1200,
        "all": 8000,
    }  # fmt: skip
    for setup in ("s0", "s1", "s2", "s3"):
        assert set.union(*(files[f"{setup}-{part}"] for part in ("train", "val", "test"))) == files["all"]
    assert str(tmp_path / names[0] / "004" / CAMERAS[0] / "color_000000.jpg") in files["s0-val"]
    assert str(tmp_path / names[2] / "099" / CAMERAS[0] / "color_000000.jpg") in files["s0-test"]
    assert str(tmp_path / names[9] / "000" / CAMERAS[0] / "color_000000.jpg") in files["s1-train"]
    assert str(tmp_path / names[0] / "000" / CAMERAS[6] / "color_000000.jpg") in files["s2-val"]
    assert str(tmp_path / names[0] / "019" / CAMERAS[0] / "color_000000.jpg") in files["s3-val"]
    assert str(tmp_path / names[0] / "079" / CAMERAS[0] / "color_000000.jpg") in files["s3-test"]


def test_what_is_missing_or_damaged_is_named(root: Path):
    with pytest.raises(FileError, match="20200709-subject-01 has 4 sessions, but s0-train needs all 100"):
        DexYcb(root, "s0-train")
    reader = DexYcb(root, "all", BASIS)
    folder = Path(reader.file(1)).parent
    labels = dict(np.load(folder / "labels_000001.npz"))
    for key in ("pose_m", "joint_3d", "joint_2d", "seg"):
        np.savez(folder / "labels_000001.npz", **{name: value for name, value in labels.items() if name != key})
        with pytest.raises(FileError, match=f"labels_000001.npz has no array '{key}'"):
            reader.read(1)
    np.savez(folder / "labels_000001.npz", **labels | {"pose_m": np.zeros((1, 48))})
    with pytest.raises(FileError, match=r"labels_000001.npz\['pose_m'\] has the shape \[1, 48\]; it must be \[1, 51\]"):
        reader.read(1)
    (folder / "labels_000001.npz").write_bytes(b"PK damaged")
    with pytest.raises(FileError, match="labels_000001.npz is not a readable npz file"):
        reader.read(1)
    (folder / "color_000001.jpg").write_bytes(b"no picture")
    with pytest.raises(FileError, match="color_000001.jpg is not a readable image"):
        reader.read(1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2", "meta.yml is not usable YAML"),
        ("- a list", "meta.yml holds no table"),
        ("{num_frames: 2, mano_calib: [a]}", "meta.yml has no key 'mano_sides'"),
        ("{mano_sides: [right], mano_calib: [a]}", "meta.yml has no key 'num_frames'"),
        ("{num_frames: many, mano_sides: [right], mano_calib: [a]}", "meta.yml has 'num_frames' 'many'"),
        ("{num_frames: 2, mano_sides: [upper], mano_calib: [a]}", "meta.yml has 'mano_sides' 'upper'"),
        ("{num_frames: 2, mano_sides: right, mano_calib: [a]}", "meta.yml has 'mano_sides' 'right'; it must list one"),
        ("{num_frames: 2, mano_sides: [right], mano_calib: [a]}", "mano_a/mano.yml does not exist"),
        ("!!python/object/apply:os.system [touch /tmp/never]", "meta.yml is not usable YAML"),
    ],
)
def test_a_session_that_does_not_say_what_it_must_is_named(tmp_path: Path, text: str, message: str):
    for serial in CAMERAS:
        write_camera(tmp_path, serial, np.eye(3))
    session = tmp_path / "20200709-subject-01" / "20200709_140000"
    write_meta(session, "right", "a", frames=1)
    (session / "meta.yml").write_text(text)
    with pytest.raises(FileError, match=message):
        DexYcb(tmp_path, "all")


def test_a_folder_or_a_camera_that_is_missing_is_named(root: Path, tmp_path_factory: pytest.TempPathFactory):
    camera = root / "calibration" / "intrinsics" / f"{CAMERAS[0]}_640x480.yml"
    camera.write_text("color: {fx: 1, fy: 1, ppx: 1}")
    with pytest.raises(FileError, match="836212060125_640x480.yml has no key 'ppy'"):
        DexYcb(root, "all")
    camera.unlink()
    with pytest.raises(FileError, match="836212060125_640x480.yml does not exist"):
        DexYcb(root, "all")
    empty = tmp_path_factory.mktemp("empty")
    for serial in CAMERAS:
        write_camera(empty, serial, np.eye(3))
    with pytest.raises(FileError, match="holds no folder DATE-subject-XX"):
        DexYcb(empty, "all")
