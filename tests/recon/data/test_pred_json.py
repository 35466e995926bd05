"""Files of predictions: written, read back, and held against the labels of the set itself."""

import json
from pathlib import Path

import numpy as np
import pytest

from recon.data.numpy_pickles import NUMPY_NAMES
from recon.data.pred_json import FORMS, FREIHAND, HO3D, Predictions, form_of, read_predictions, write_predictions
from recon.files import FileError, unpickle
from tests.data_sets.ho3d import write
from tests.data_sets.truth import truths


def hands() -> Predictions:
    rights = [truth for truth in truths(8) if truth.is_right]
    return Predictions(
        joints=np.stack([truth.joints for truth in rights]), vertices=np.stack([truth.vertices for truth in rights])
    )


@pytest.mark.parametrize("reader", list(FORMS))
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_what_is_written_is_read_back_exactly(tmp_path: Path, reader: str, kind: type):
    wanted = Predictions(joints=hands().joints.astype(kind), vertices=hands().vertices.astype(kind))
    write_predictions(tmp_path / "pred.json", wanted, form_of(reader))
    found = read_predictions(tmp_path / "pred.json", form_of(reader))
    assert (found.joints == wanted.joints).all() and (found.vertices == wanted.vertices).all()


def test_freihand_s_file_is_two_lists_in_our_own_axes_and_order(tmp_path: Path):
    write_predictions(tmp_path / "pred.json", hands(), FREIHAND)
    joints, vertices = json.loads((tmp_path / "pred.json").read_text())
    assert np.array_equal(joints, hands().joints) and np.array_equal(vertices, hands().vertices)


def test_ho3d_s_file_holds_what_its_own_pickles_hold(tmp_path: Path):
    rights = [truth for truth in truths(8) if truth.is_right]
    write(tmp_path, rights)
    write_predictions(tmp_path / "pred.json", hands(), HO3D)
    joints, vertices = json.loads((tmp_path / "pred.json").read_text())
    for index in range(len(rights)):
        labels = unpickle(tmp_path / f"train/ABF1{index % 2}/meta/{index:04d}.pkl", NUMPY_NAMES)
        assert np.abs(np.array(joints[index]) - labels["handJoints3D"]).max() < 1e-9
    assert (np.array(joints)[..., 2] < 0).all() and (np.array(vertices)[..., 2] < 0).all(), "before OpenGL's camera"


def test_files_that_are_no_predictions_are_named(tmp_path: Path):
    path, good = tmp_path / "pred.json", hands()
    with pytest.raises(FileError, match="'rhd' has no form of predictions; those that have one are freihand, ho3d-v2"):
        form_of("rhd")
    with pytest.raises(FileError, match="there are 4 hands of joints but 3 meshes"):
        write_predictions(path, Predictions(joints=good.joints, vertices=good.vertices[:3]), HO3D)
    with pytest.raises(FileError, match="not finite"):
        write_predictions(path, Predictions(joints=good.joints * np.nan, vertices=good.vertices), HO3D)
    assert not path.exists()
    for content, message in (
        ("[[", "pred.json is not JSON"),
        ("[[], [], []]", "pred.json must hold a list of two"),
        ('{"joints": []}', "pred.json must hold a list of two"),
        ('[[["a"]], []]', r"pred.json, the joints must hold numbers of the shape \[n, 21, 3\]"),
        ("[[[[0, 0, 1]]], []]", r"pred.json, the joints has the shape \[1, 1, 3\]; it must be \[n, 21, 3\]"),
    ):
        path.write_text(content)
        with pytest.raises(FileError, match=message):
            read_predictions(path, FREIHAND)
    rows = [good.joints[:1].tolist(), good.vertices[:2].tolist()]
    path.write_text(json.dumps(rows))
    with pytest.raises(FileError, match="pred.json holds 1 hands of joints but 2 meshes"):
        read_predictions(path, FREIHAND)
