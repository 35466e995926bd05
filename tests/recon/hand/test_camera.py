"""Projection and crops undo each other and agree with what a pinhole does."""

import torch

from recon.hand.camera import Crop, box_from_points, project, unproject, weak_to_full_translation


def _camera(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.linspace(300, 900, batch, dtype=torch.float64), torch.rand(batch, 2, dtype=torch.float64) * 256


def test_project_then_unproject_is_the_identity() -> None:
    torch.manual_seed(0)
    points = torch.randn(4, 21, 3, dtype=torch.float64) * 0.1 + torch.tensor([0.0, 0.0, 0.7])
    focal, center = _camera(4)
    pixels = project(points, focal, center)
    torch.testing.assert_close(unproject(pixels, points[..., 2], focal, center), points)


def test_a_point_on_the_axis_falls_on_the_principal_point_and_y_points_down() -> None:
    focal, center = torch.tensor(500.0), torch.tensor([128.0, 100.0])
    pixels = project(torch.tensor([[0.0, 0.0, 2.0], [0.1, 0.2, 1.0]]), focal, center)
    torch.testing.assert_close(pixels, torch.tensor([[128.0, 100.0], [178.0, 200.0]]))


def test_box_holds_its_points_and_padding_is_relative_to_the_longer_side() -> None:
    keypoints = torch.tensor([[10.0, 20.0], [50.0, 40.0], [30.0, 30.0]])
    torch.testing.assert_close(box_from_points(keypoints), torch.tensor([10.0, 20.0, 50.0, 40.0]))
    torch.testing.assert_close(box_from_points(keypoints, padding=0.25), torch.tensor([0.0, 10.0, 60.0, 50.0]))


def test_crop_and_full_image_undo_each_other() -> None:
    crop = Crop.around_box(torch.tensor([[10.0, 20.0, 110.0, 60.0]]), scale=1.2)
    torch.testing.assert_close(crop.size, torch.tensor([120.0]))
    corners = torch.tensor([[[0.0, -20.0], [120.0, 100.0]]])
    torch.testing.assert_close(crop.to_crop(corners), torch.tensor([[[-0.5, -0.5], [0.5, 0.5]]]))
    torch.testing.assert_close(crop.to_full(crop.to_crop(corners)), corners)


def test_weak_camera_puts_the_wrist_where_the_crop_shows_it() -> None:
    crop = Crop(center=torch.tensor([[300.0, 200.0]]), size=torch.tensor([150.0]))
    focal, center = torch.tensor([600.0]), torch.tensor([[256.0, 256.0]])
    offset = torch.tensor([[0.1, -0.2]])
    wrist = weak_to_full_translation(torch.tensor([5.0]), offset, crop, focal, center)
    torch.testing.assert_close(wrist[:, 2], torch.tensor([600.0 / (5.0 * 150.0)]))
    pixels = project(wrist[:, None], focal, center)
    torch.testing.assert_close(crop.to_crop(pixels)[:, 0], offset)
