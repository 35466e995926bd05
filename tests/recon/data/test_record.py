"""The record of all data sets: a row of its features, refusing what cannot be."""

import numpy as np
import pytest
from datasets import Features

from recon.data.reader import READERS, reader_class
from recon.data.record import COLUMNS, FEATURES, HandRecord, box_of_points, project_points
from recon.files import FileError


def record(**changes: object) -> HandRecord:
    fields: dict = {
        "image": b"x",
        "image_id": "rgb/1.jpg",
        "hand": "right",
        "dataset": "freihand",
        "split": "training",
        "is_right": True,
        "box": np.array([1.0, 2.0, 3.0, 4.0]),
        "keypoints_2d": np.zeros((21, 3)),
    }
    return HandRecord(**{**fields, **changes})


def test_a_record_is_a_row_of_the_features_and_what_is_missing_is_null():
    row = record().row()
    assert list(row) == list(FEATURES) == list(COLUMNS)
    assert row["sample_id"] == "freihand/training/rgb/1.jpg/right"
    assert row["joints"] is None and row["hand_pose"] is None and row["mask"] is None
    encoded = Features({k: v for k, v in FEATURES.items() if k not in ("image", "mask")})
    encoded.encode_example({k: v for k, v in row.items() if k in encoded})


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("joints", np.zeros((20, 3)), r"joints has shape \[20, 3\]; it must be \[21, 3\]"),
        ("betas", np.full(10, np.nan), "betas holds numbers that are not finite"),
        ("betas", np.full(10, 1e300), "betas holds numbers that are not finite"),
        ("joints", np.full((21, 3), 650.0), "joints reaches 650 m"),
        ("hand_pose", np.zeros(48), "hand_pose has shape"),
    ],
)
def test_a_record_refuses_what_cannot_be(field: str, value: np.ndarray, message: str):
    with pytest.raises(FileError, match=message):
        record(**{field: value})


def test_the_box_is_around_labelled_points_only():
    points = np.zeros((21, 3))
    points[3], points[4] = (10, 20, 1), (30, 5, 1)
    assert box_of_points(points).tolist() == [10, 5, 30, 20]
    with pytest.raises(FileError, match="no keypoint is labelled"):
        box_of_points(np.zeros((21, 3)))


def test_projection_follows_the_camera_matrix():
    camera = np.array([[500.0, 0, 64], [0, 400, 32], [0, 0, 1]])
    assert project_points(np.array([[0.1, -0.2, 2.0]]), camera).tolist() == [[89.0, -8.0]]


def test_an_unknown_data_set_is_named_with_what_there_is():
    with pytest.raises(FileError, match="There is no data set 'imagenet'; the readers are freihand, "):
        reader_class("imagenet")
    assert len(READERS) == 16
