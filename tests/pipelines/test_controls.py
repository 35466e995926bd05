"""Control pictures and labels follow from mesh and camera: mirrored hands mirror them, labels lie on the drawing."""

import numpy as np
import pytest
import torch

from pipelines.controls import DrawnHands, draw_hands
from pipelines.hand_row import detection_cell, geometric_caption
from pipelines.output import TextToHandMeshOutput
from recon.detection import HandDetection
from recon.hand.model import HandMesh, HandModel, HandParams

SIZE = 96
PALM = torch.tensor([[1.2092, 1.2092, 1.2092]])  # palm to the camera, fingers up: x -> y -> z -> x


@pytest.fixture(scope="module")
def model() -> HandModel:
    return HandModel.default()


def hands(model: HandModel, is_right: bool) -> TextToHandMeshOutput:
    generator = torch.Generator().manual_seed(1)
    pose = torch.randn(3, 45, generator=generator) * torch.tensor([[0.0], [0.15], [0.3]])
    right = HandParams.from_rotvec(torch.zeros(3, 10), PALM.repeat(3, 1), pose)
    mesh: HandMesh = model(right)
    cam_t = torch.tensor([[0.01, 0.08, 0.55]]).repeat(3, 1)
    params = right
    if not is_right:
        params, mesh, cam_t = right.mirrored(), mesh.mirrored(), cam_t * torch.tensor([-1.0, 1, 1])
    focal, confidence = torch.full((3,), 2.0 * SIZE), torch.ones(3)
    return TextToHandMeshOutput(params, mesh, torch.full((3,), is_right), cam_t, focal, confidence, ["a hand"] * 3)


@pytest.fixture(scope="module")
def right(model: HandModel) -> DrawnHands:
    return draw_hands(hands(model, True), model, SIZE)


def test_a_left_hand_is_drawn_as_the_mirror_image(model: HandModel, right: DrawnHands) -> None:
    left = draw_hands(hands(model, False), model, SIZE)
    np.testing.assert_allclose(left.keypoints_2d[..., 0], SIZE - right.keypoints_2d[..., 0], atol=1e-3)
    np.testing.assert_allclose(left.keypoints_2d[..., 1:], right.keypoints_2d[..., 1:], atol=1e-3)
    np.testing.assert_allclose(left.joints, right.joints * [-1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(left.boxes[:, [2, 0]], SIZE - right.boxes[:, [0, 2]], atol=1e-3)
    ours, theirs = left.mesh.any(-1)[:, :, ::-1], right.mesh.any(-1)
    assert (ours != theirs).mean() < 0.01 and theirs.mean() > 0.05


def test_labels_lie_on_the_drawing(right: DrawnHands) -> None:
    assert right.keypoints_2d[0, :, 2].all()  # a flat palm hides nothing
    for index in range(3):
        x0, y0, x1, y1 = right.boxes[index]
        rows, columns = np.nonzero(right.mesh[index].any(-1))
        assert abs(columns.min() - x0) <= 1.5 and abs(columns.max() + 1 - x1) <= 1.5
        assert abs(rows.min() - y0) <= 1.5 and abs(rows.max() + 1 - y1) <= 1.5
        pixels = np.floor(right.keypoints_2d[index, :, :2]).astype(int)
        assert right.pose[index][pixels[:, 1], pixels[:, 0]].any(-1).all()
        both = right.shown(index, "mesh+pose")
        assert (both[right.pose[index].any(-1)] == right.pose[index][right.pose[index].any(-1)]).all()
        assert (right.shown(index, "mesh") == right.mesh[index]).all()


def test_of_several_found_hands_the_agreeing_one_counts(right: DrawnHands) -> None:
    keypoints, box = right.keypoints_2d[0], right.boxes[0].astype(np.float32)
    near = keypoints.astype(np.float32) + np.float32(1)
    far = near + np.float32(SIZE)
    found = tuple(HandDetection(True, score, box, points) for score, points in ((0.9, far), (0.6, near)))
    cell = detection_cell(found, keypoints, right.boxes[0])
    assert cell["found"] and cell["score"] == 0.6 and cell["agreement"] == 1.0
    assert detection_cell(found[:1], keypoints, right.boxes[0])["agreement"] == 0.0
    nothing = detection_cell((), keypoints, right.boxes[0])
    assert not nothing.pop("found") and set(nothing.values()) == {None} and nothing.keys() < cell.keys()


def test_the_caption_is_that_of_the_mesh() -> None:
    flat, orient = np.zeros(45, np.float32), PALM[0].numpy()
    caption = geometric_caption(flat, orient, True, 3)
    assert caption.startswith("a right hand") and "straight" in caption and "palm" in caption
    assert caption == geometric_caption(flat, orient, True, 3)
    left = geometric_caption(flat, orient * np.float32([1, -1, -1]), False, 3)
    assert left.replace("left", "right") == caption
