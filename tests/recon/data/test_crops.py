"""Crops: cameras that invert each other, projections that agree, and pixels that stay under their points."""

import io
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from recon.data.crops import CropCamera, cut_all
from recon.files import Photo, open_photo
from recon.hand.camera import project
from recon.hand.model import HandModel, HandParams
from synth.world.world import World

SIZE = 128


def some_camera(count: int = 6, seed: int = 0, dtype: torch.dtype = torch.float32) -> CropCamera:
    """Turned, mirrored, off-centre crops of photos with unequal focal lengths and odd principal points."""
    rng = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=rng, dtype=dtype) * 100 + 40
    boxes = torch.cat((corner, corner + 60 + 40 * torch.rand(count, 2, generator=rng, dtype=dtype)), -1)
    intrinsics = torch.eye(3, dtype=dtype).repeat(count, 1, 1)
    intrinsics[:, 0, 0] = 500 + 50 * torch.rand(count, generator=rng, dtype=dtype)
    intrinsics[:, 1, 1] = 480 + 50 * torch.rand(count, generator=rng, dtype=dtype)
    intrinsics[:, :2, 2] = 300 * torch.rand(count, 2, generator=rng, dtype=dtype)
    mirrored = torch.arange(count) % 2 == 0
    angle = (torch.rand(count, generator=rng, dtype=dtype) - 0.5) * 2 * math.pi
    camera = CropCamera.around_boxes(boxes, intrinsics, mirrored)
    return camera.moved(0.8 + 0.4 * torch.rand(count, generator=rng, dtype=dtype), 0.1 * (corner - 90) / 50, angle)


def some_points(count: int = 6, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    points = torch.rand(count, 21, 3, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return (points - 0.5) * 0.3 + torch.tensor([0.0, 0.0, 0.7], dtype=dtype)


def full_pixels(camera: CropCamera, points: Tensor) -> Tensor:
    image = points @ camera.intrinsics.mT
    return image[..., :2] / image[..., 2:]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-3), (torch.float64, 1e-11)])
def test_there_and_back_is_the_identity(dtype: torch.dtype, tolerance: float):
    camera, points = some_camera(dtype=dtype), some_points(dtype=dtype)
    pixels = full_pixels(camera, points)
    torch.testing.assert_close(camera.to_full(camera.to_crop(pixels)), pixels, atol=tolerance, rtol=0)
    torch.testing.assert_close(camera.points_to_full(camera.points_to_crop(points)), points, atol=tolerance, rtol=0)
    rotations = torch.linalg.qr(torch.randn(6, 16, 3, 3, generator=torch.Generator().manual_seed(2), dtype=dtype))[0]
    rotations = rotations * rotations.det()[..., None, None]
    orient, pose = rotations[:, :1], rotations[:, 1:]
    turned = camera.orient_to_crop(orient)
    torch.testing.assert_close(turned.det(), torch.ones(6, 1, dtype=dtype))
    torch.testing.assert_close(camera.orient_to_full(turned), orient, atol=tolerance, rtol=0)
    torch.testing.assert_close(camera.pose_to_crop(camera.pose_to_crop(pose)), pose, atol=tolerance, rtol=0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-3), (torch.float64, 1e-10)])
def test_projecting_with_the_crops_camera_is_cropping_the_projection(dtype: torch.dtype, tolerance: float):
    camera, points = some_camera(dtype=dtype), some_points(dtype=dtype)
    cropped = camera.to_crop(full_pixels(camera, points))
    projected = camera.project(camera.points_to_crop(points))
    assert (cropped - projected).abs().max() * SIZE < tolerance
    image = camera.points_to_crop(points) @ camera.pixel_intrinsics(SIZE).mT
    torch.testing.assert_close(image[..., :2] / image[..., 2:], (cropped + 0.5) * SIZE, atol=tolerance, rtol=0)


def test_with_one_focal_length_the_crops_camera_is_an_ordinary_one():
    camera, points = some_camera(dtype=torch.float64), some_points(dtype=torch.float64)
    camera.intrinsics[:, 1, 1] = camera.intrinsics[:, 0, 0]
    matrix = camera.crop_intrinsics
    focal = camera.intrinsics[:, 0, 0] / camera.crop.size
    torch.testing.assert_close(matrix[:, :2, :2], focal[:, None, None] * torch.eye(2, dtype=torch.float64))
    by_hand = project(camera.points_to_crop(points), focal, matrix[:, :2, 2])
    torch.testing.assert_close(camera.project(camera.points_to_crop(points)), by_hand)
    off = torch.tensor([0.5, 0.5]) - matrix[:, :2, 2]
    assert off.norm(dim=-1).min() > 0.1  # the principal points are off the centre, or this would prove nothing


def test_mirrored_twice_is_the_identity():
    camera, points = some_camera(), some_points()
    once = camera.flipped(torch.ones(6, dtype=torch.bool))
    assert (once.mirrored != camera.mirrored).all()
    assert (once.points_to_crop(points) - camera.points_to_crop(points)).abs().max() > 0.1
    twice = once.flipped(torch.ones(6, dtype=torch.bool))
    torch.testing.assert_close(twice.points_to_crop(points), camera.points_to_crop(points))
    upright = CropCamera(camera.crop, camera.intrinsics, torch.zeros(6), torch.ones(6, dtype=torch.bool))
    pixels = torch.rand(6, 21, 2) * 200
    flipped = upright.to_crop(pixels) * torch.tensor([-1.0, 1.0])
    torch.testing.assert_close(flipped, camera.crop.to_crop(pixels))


def test_mesh_of_the_crops_parameters_is_the_mesh_in_the_crop():
    """A left hand's parameters come out as a right hand's, turned, and give the mirrored, turned mesh."""
    model = HandModel.default()
    rng = torch.Generator().manual_seed(3)
    params = HandParams.from_rotvec(
        torch.randn(6, 10, generator=rng), torch.randn(6, 3, generator=rng), 0.3 * torch.randn(6, 45, generator=rng)
    )
    camera = some_camera()  # every other hand is a left one
    is_left = camera.mirrored
    right, left = model(params), model(params.mirrored()).mirrored()
    vertices = torch.where(is_left[:, None, None], left.vertices, right.vertices)
    own = HandParams(params.betas, camera.orient_to_crop(params.global_orient), camera.pose_to_crop(params.hand_pose))
    torch.testing.assert_close(model(own).vertices, camera.points_to_crop(vertices), atol=1e-5, rtol=0)


def cut(pictures: Sequence[Image.Image], camera: CropCamera, size: int) -> Tensor:
    """The crops of pictures in memory."""
    crops, sizes = cut_all(lambda index, _: Photo(pictures[index], pictures[index].size), camera, size)
    assert sizes == [picture.size for picture in pictures]
    return crops


def dots(points: np.ndarray, width: int, height: int, radius: float = 3.0) -> Image.Image:
    """A black photo with soft white dots at points, by the house's pixel convention."""
    y, x = np.mgrid[:height, :width] + 0.5
    picture = np.zeros((height, width))
    for px, py in points:
        picture = np.maximum(picture, np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * radius**2)))
    return Image.fromarray((255 * picture).astype(np.uint8)).convert("RGB")


@pytest.mark.parametrize("zoom", [0.3, 1.0, 2.4, 3.7])
def test_the_pixel_under_a_point_stays_under_it(zoom: float):
    camera = some_camera(6, seed=4).moved(torch.full((6,), zoom), torch.zeros(6, 2), torch.zeros(6))
    target = torch.tensor([[[0.21, -0.13]]]).repeat(6, 1, 1) / max(zoom, 1)
    pixels = camera.to_full(target)
    pictures = [dots(points.numpy(), 300 + 7 * i, 280 - 11 * i) for i, points in enumerate(pixels)]
    crops = cut(pictures, camera, SIZE)
    assert crops.shape == (6, 3, SIZE, SIZE) and crops.dtype == torch.uint8
    grid = torch.arange(SIZE) + 0.5
    for crop, point in zip(crops.double()[:, 0], target[:, 0], strict=True):
        assert crop.max() > 40
        found = torch.stack(((crop.sum(0) * grid).sum(), (crop.sum(1) * grid).sum())) / crop.sum()
        torch.testing.assert_close(found.float(), (point + 0.5) * SIZE, atol=0.15, rtol=0)


def cut_decoded(picture: Image.Image, camera: CropCamera, whole: bool) -> tuple[Tensor, list[int]]:
    """The crops of a picture as a JPEG, and what it was decoded at."""
    data, decoded = io.BytesIO(), []
    picture.save(data, "JPEG", quality=95)

    def open_at(_: int, reduce: int) -> Photo:
        photo = open_photo(data.getvalue(), reduce=1 if whole else reduce)
        decoded.append(photo.reduce)
        return photo

    crops, sizes = cut_all(open_at, camera, SIZE)
    assert sizes == [picture.size] * len(crops)
    return crops, decoded


@pytest.mark.parametrize(("zoom", "reduce"), [(2.4, 2), (5.0, 4), (9.0, 8), (18.0, 8)])
def test_a_crop_of_a_photo_decoded_coarser_is_that_of_the_whole(zoom: float, reduce: int):
    """With odd sizes, so that the last pixel is a part of one; the hand fills most of the photo."""
    side = int(SIZE * zoom * 0.9) | 1
    small = World(0, 160, "test").render(World(0, 160, "test").scene(0)).image
    picture = Image.fromarray(small).resize((side + 2, side), Image.Resampling.BICUBIC)
    count, middle = 6, side / 2
    box = torch.tensor([[middle - SIZE / 4, middle - SIZE / 4, middle + SIZE / 4, middle + SIZE / 4]]).repeat(count, 1)
    rng = torch.Generator().manual_seed(5)
    camera = CropCamera.around_boxes(box, torch.eye(3).repeat(count, 1, 1), torch.arange(count) % 2 == 0).moved(
        torch.full((count,), zoom), (torch.rand(count, 2, generator=rng) - 0.5) * 0.2 * zoom, torch.arange(count) * 0.5
    )
    (whole, _), (coarse, decoded) = cut_decoded(picture, camera, True), cut_decoded(picture, camera, False)
    assert decoded == [reduce] * count
    assert whole.any() and (coarse.float() - whole.float()).abs().mean((1, 2, 3)).max() < 1.5


@pytest.mark.parametrize("zoom", [2.4, 5.0, 9.0])
def test_the_pixel_under_a_point_stays_under_it_in_a_photo_decoded_coarser(zoom: float):
    side = int(SIZE * zoom) | 1
    box = torch.tensor([[side / 2 - SIZE / 4, side / 2 - SIZE / 4, side / 2 + SIZE / 4, side / 2 + SIZE / 4]])
    camera = CropCamera.around_boxes(box, torch.eye(3)[None], torch.tensor([True])).moved(
        torch.tensor([zoom]), torch.tensor([[0.04, -0.03]]), torch.tensor([0.4])
    )
    target = torch.tensor([[[0.21, -0.13]]])
    point = camera.to_full(target)[0].numpy()
    crops, decoded = cut_decoded(dots(point, side, side - 8, 3 * zoom), camera, False)
    assert decoded[0] > 1
    crop, grid = crops[0, 0].double() * (crops[0, 0] > 20), torch.arange(SIZE) + 0.5
    found = torch.stack(((crop.sum(0) * grid).sum(), (crop.sum(1) * grid).sum())) / crop.sum()
    torch.testing.assert_close(found.float(), (target[0, 0] + 0.5) * SIZE, atol=0.1, rtol=0)


def test_an_upright_crop_of_the_same_scale_copies_pixels():
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)
    boxes = torch.tensor([[20.0, 10, 84, 74], [20.0, 10, 84, 74], [100.0, 60, 164, 124]])
    camera = CropCamera.around_boxes(boxes, torch.eye(3).repeat(3, 1, 1), torch.tensor([False, True, False]), 1.0)
    plain, mirrored, outside = cut([Image.fromarray(photo)] * 3, camera, 64).permute(0, 2, 3, 1).numpy()
    assert (plain == photo[10:74, 20:84]).all()
    assert (mirrored == photo[10:74, 20:84][:, ::-1]).all()
    assert (outside[:30, :20] == photo[60:, 100:]).all() and not outside[31:].any() and not outside[:, 21:].any()


def test_shrinking_averages_what_it_leaves_out():
    checks = np.indices((512, 512)).sum(0) % 2 * 255
    picture = Image.fromarray(checks.astype(np.uint8)).convert("RGB")
    camera = CropCamera.around_boxes(
        torch.tensor([[0.0, 0, 512, 512]]), torch.eye(3)[None], torch.tensor([False]), 1.0
    ).moved(torch.tensor([0.6]), torch.zeros(1, 2), torch.tensor([0.3]))
    crop = cut([picture], camera, 64).float()
    assert (crop - 127.5).abs().max() < 20  # without averaging: 0 and 255


def test_a_crop_that_misses_the_photo_is_black():
    boxes = torch.tensor([[500.0, 500, 560, 560]])
    camera = CropCamera.around_boxes(boxes, torch.eye(3)[None], torch.tensor([False]))
    assert not cut([Image.new("RGB", (64, 64), "white")], camera, 32).any()


def test_large_photos_which_pillow_holds_in_pieces_are_cut_alike():
    rng = np.random.default_rng(1)
    part = Image.fromarray(rng.integers(0, 256, (200, 200, 3), dtype=np.uint8))
    camera = some_camera(1, seed=4)
    large = Image.new("RGB", (3000, 2600))
    large.paste(part)
    small = Image.new("RGB", (700, 600))
    small.paste(part)
    assert torch.equal(cut([large], camera, SIZE), cut([small], camera, SIZE))
    assert cut([small], camera, SIZE).any()
