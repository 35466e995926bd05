"""Square crops around hands: the camera that looks through one, and the pixels that it sees.

A crop is the hand's box times 2, turned about its centre and, for a left hand, mirrored, so that models see right hands
only. All of that is one affine map A of the picture, and a crop's pixels are read from the photo once.

Turning a picture about a point that is not the principal point is no rotation of the camera alone. With Q the 2 x 2
part of A without its scale, and G = diag(Q, 1), we move the points by G (about the camera, so exactly) and give the
crop the camera matrix K' = A K G^T. Then K' (G X) = A (K X) for every point X: what is projected in the crop is the
crop of what was projected, whatever the principal point, and for equal focal lengths K' is an ordinary camera matrix
whose principal point has moved (for unequal ones it has a slight skew).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from recon.files import REDUCTIONS, Photo
from recon.hand.camera import Crop

BOX_SCALE = 2.0
"""Side of a crop by the longer side of the hand's box."""


@dataclass(frozen=True)
class CropCamera:
    """A crop of a photo as a camera: a square of the picture, its turn and mirror, and the photo's camera matrix."""

    crop: Crop
    """Centre and side in the photo's pixels."""
    intrinsics: Float[Tensor, "*b 3 3"]
    """Camera matrix of the photo, pixels."""
    angle: Float[Tensor, "*b"]
    """By how much the crop's content is turned about its centre: radians, from x to y (clockwise as one sees it)."""
    mirrored: Bool[Tensor, "*b"]
    """Whether left and right change places (before the turn)."""

    @classmethod
    def around_boxes(
        cls,
        boxes: Float[Tensor, "*b 4"],
        intrinsics: Float[Tensor, "*b 3 3"],
        mirrored: Bool[Tensor, "*b"],
        scale: float = BOX_SCALE,
    ) -> CropCamera:
        """Upright squares around boxes (x0, y0, x1, y1), `scale` times their longer sides."""
        crop = Crop.around_box(boxes, scale)
        return cls(crop, intrinsics, torch.zeros_like(crop.size), mirrored)

    def moved(self, zoom: Float[Tensor, "*b"], shift: Float[Tensor, "*b 2"], angle: Float[Tensor, "*b"]) -> CropCamera:
        """The crop with other bounds.

        Args:
            zoom: factor of the side; above 1 the hand becomes smaller.
            shift: of the centre along the photo's x and y, in sides of the crop.
            angle: radians, added.
        """
        center = self.crop.center + shift * self.crop.size[..., None]
        return replace(self, crop=Crop(center, self.crop.size * zoom), angle=self.angle + angle)

    def flipped(self, flip: Bool[Tensor, "*b"]) -> CropCamera:
        """Mirrored once more where `flip` holds."""
        return replace(self, mirrored=self.mirrored ^ flip)

    @property
    def mirror(self) -> Float[Tensor, "*b 3 3"]:
        """diag(-1, 1, 1) where mirrored, else the identity."""
        mirror = torch.eye(3).to(self.angle).repeat(*self.angle.shape, 1, 1)
        mirror[..., 0, 0] = 1 - 2 * self.mirrored.to(self.angle)
        return mirror

    @property
    def turn(self) -> Float[Tensor, "*b 3 3"]:
        """G: how points of the photo's camera frame move into the crop's; orthogonal, the camera stays the origin."""
        cosine, sine = self.angle.cos(), self.angle.sin()
        turn = torch.zeros_like(self.mirror)
        turn[..., 0, 0], turn[..., 0, 1] = cosine, -sine
        turn[..., 1, 0], turn[..., 1, 1] = sine, cosine
        turn[..., 2, 2] = 1
        return turn @ self.mirror

    def to_crop(self, pixels: Float[Tensor, "*b n 2"]) -> Float[Tensor, "*b n 2"]:
        """The photo's pixels -> crop coordinates, [-0.5, 0.5] inside the crop."""
        return self.crop.to_crop(pixels) @ self.turn[..., :2, :2].mT

    def to_full(self, points: Float[Tensor, "*b n 2"]) -> Float[Tensor, "*b n 2"]:
        """Crop coordinates -> the photo's pixels; the inverse of `to_crop`."""
        return self.crop.to_full(points @ self.turn[..., :2, :2])

    def points_to_crop(self, points: Float[Tensor, "*b n 3"]) -> Float[Tensor, "*b n 3"]:
        """Points of the photo's camera frame -> the crop's camera frame, metres."""
        return points @ self.turn.mT

    def points_to_full(self, points: Float[Tensor, "*b n 3"]) -> Float[Tensor, "*b n 3"]:
        """Points of the crop's camera frame -> the photo's; the inverse of `points_to_crop`."""
        return points @ self.turn

    def orient_to_crop(self, orient: Float[Tensor, "*b 1 3 3"]) -> Float[Tensor, "*b 1 3 3"]:
        """`global_orient` in the photo's camera frame -> in the crop's, of the other hand's model where mirrored."""
        return self.turn[..., None, :, :] @ orient @ self.mirror[..., None, :, :]

    def orient_to_full(self, orient: Float[Tensor, "*b 1 3 3"]) -> Float[Tensor, "*b 1 3 3"]:
        """The inverse of `orient_to_crop`."""
        return self.turn.mT[..., None, :, :] @ orient @ self.mirror[..., None, :, :]

    def pose_to_crop(self, pose: Float[Tensor, "*b n 3 3"]) -> Float[Tensor, "*b n 3 3"]:
        """`hand_pose` of one hand's model -> of the other's where mirrored; its own inverse."""
        mirror = self.mirror[..., None, :, :]
        return mirror @ pose @ mirror

    @property
    def crop_intrinsics(self) -> Float[Tensor, "*b 3 3"]:
        """K' = A K G^T: points of the crop's camera frame -> crop coordinates."""
        turn, side = self.turn, self.crop.size[..., None]
        affine = turn.clone()
        affine[..., :2, :2] /= side[..., None]
        affine[..., :2, 2] = -(turn[..., :2, :2] @ (self.crop.center / side)[..., None])[..., 0]
        return affine @ self.intrinsics @ turn.mT

    def pixel_intrinsics(self, size: int) -> Float[Tensor, "*b 3 3"]:
        """The same in pixels of a crop of `size` x `size`, whose corner is (0, 0)."""
        half = size / 2
        to_pixels = torch.tensor([[size, 0.0, half], [0.0, size, half], [0.0, 0.0, 1.0]]).to(self.angle)
        return to_pixels @ self.crop_intrinsics

    def project(self, points: Float[Tensor, "*b n 3"]) -> Float[Tensor, "*b n 2"]:
        """Crop coordinates of points in the crop's camera frame, in front of the camera."""
        image = points @ self.crop_intrinsics.mT
        return image[..., :2] / image[..., 2:]

    def to(self, device: torch.device | str) -> CropCamera:
        """On another device."""
        crop = Crop(self.crop.center.to(device, non_blocking=True), self.crop.size.to(device, non_blocking=True))
        moved = (value.to(device, non_blocking=True) for value in (self.intrinsics, self.angle, self.mirrored))
        return CropCamera(crop, *moved)

    def sources(self, size: int) -> Float[np.ndarray, "b 2 3"]:
        """Where the crop's pixels come from: affine maps of pixels of a crop of `size` x `size` to the photo's."""
        turn = self.turn[:, :2, :2].numpy().astype(np.float64)
        side = self.crop.size.numpy().astype(np.float64)[:, None, None]
        linear = turn.transpose(0, 2, 1) * side / size
        offset = self.crop.center.numpy()[:, :, None] - linear @ np.full((2, 1), size / 2)
        return np.concatenate((linear, offset), -1)


def cut_all(
    open_at: Callable[[int, int], Photo], camera: CropCamera, size: int
) -> tuple[UInt8[Tensor, "b 3 s s"], list[tuple[int, int]]]:
    """The crops of photos of any sizes, bilinear, and the photos' sizes.

    Where a crop is coarser than its photo, the photo's pixels are averaged first: by its codec if that can, else here.

    Args:
        open_at: (index, reduce) -> that crop's photo, whole or at 1 / reduce; called once for each in order, so that
            only one needs to be in memory at a time. Outside of a photo is black.
        camera: of the batch.
        size: side of the crops, pixels.
    """
    sources = camera.sources(size)
    corners = sources @ np.array([[0, size, 0, size], [0, 0, size, size], [1, 1, 1, 1.0]])
    coarse = np.sqrt(np.abs(np.linalg.det(sources[:, :, :2])))  # the photo's pixels along a crop's pixel
    steps = (2 ** np.maximum(np.rint(np.log2(coarse)), 0)).astype(int)[:, None]
    low = np.maximum(np.floor(corners.min(-1) / steps).astype(int) - 1, 0) * steps  # averages begin at the corner
    high = np.ceil(corners.max(-1)).astype(int) + 2 * steps
    crops = np.zeros((len(sources), size, size, 3), np.uint8)
    scratch = np.empty((size, size, 4), np.uint8)  # fresh memory costs as much as the warp
    sizes = []
    bounds = zip(low.tolist(), high.tolist(), steps[:, 0].tolist(), strict=True)
    for index, (start, stop, step) in enumerate(bounds):
        photo = open_at(index, min(step, max(REDUCTIONS)))
        _cut(photo, sources[index], start, stop, step, crops[index], scratch)
        sizes.append(photo.size)
    return torch.from_numpy(crops).permute(0, 3, 1, 2), sizes


def _cut(
    photo: Photo,
    source: Float[np.ndarray, "2 3"],
    start: list[int],
    stop: list[int],
    step: int,
    crop: UInt8[np.ndarray, "s s 3"],
    scratch: UInt8[np.ndarray, "s s 4"],
) -> None:
    """Fill one crop from the part of a photo between two corners, read `step` pixels at a time."""
    # Whole steps only: what is left out at the photo's right and lower edge is less than a pixel of the crop.
    x0, y0, x1, y1 = (value // step for value in (*start, *map(min, stop, photo.size)))
    if x1 <= x0 or y1 <= y0:
        return
    left = step // photo.reduce
    part = _pixels(photo.image, (x0 * left, y0 * left, x1 * left, y1 * left))
    while left > 1:  # OpenCV averages fastest by two
        part = cv2.resize(part, (part.shape[1] // 2, part.shape[0] // 2), interpolation=cv2.INTER_AREA)
        left //= 2
    matrix = source / step
    matrix[:, 2] += matrix[:, :2].sum(1) * 0.5 - (x0 + 0.5, y0 + 0.5)  # OpenCV counts from the first pixel's centre
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    target = scratch if part.shape[2] == 4 else crop
    cv2.warpAffine(part, matrix, crop.shape[:2], dst=target, flags=flags, borderMode=cv2.BORDER_CONSTANT)
    if target is scratch:
        cv2.cvtColor(scratch, cv2.COLOR_RGBA2RGB, dst=crop)


def _pixels(picture: Image.Image, box: tuple[int, int, int, int]) -> UInt8[np.ndarray, "h w c"]:
    """A part of a photo: as Pillow holds it, four bytes a pixel, without a copy; three where it holds it in pieces."""
    x0, y0, x1, y1 = box
    try:
        rows = pa.array(picture).values.to_numpy().reshape(picture.height, picture.width, 4)
    except ValueError:  # a large photo
        return np.asarray(picture.crop(box))
    return rows[y0:y1, x0:x1]
