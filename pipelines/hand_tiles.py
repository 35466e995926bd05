"""A hand of a record cut out of its photo, with what is known of it drawn over: mesh in blue, keypoints as skeleton."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from recon.data.record import HandRecord, project_points
from recon.files import open_image
from recon.hand.model import HandModel, HandParams
from synth.render.rasterizer import rasterize, vertex_normals
from synth.render.skeleton_picture import draw_skeleton

MARGIN = 1.4
"""Side of the cut-out over the longer side of the hand's box."""
BLUE = np.array([90.0, 150.0, 255.0])
OPACITY = 0.55


def mesh_of(record: HandRecord, model: HandModel | None) -> np.ndarray | None:
    """Vertices [778,3] in the camera frame: the record's own, or posed by the hand it was labelled with.

    Args:
        record: a hand.
        model: the right hand that the set's parameters belong to; None when it is not at hand.
    """
    if record.vertices is not None:
        return record.vertices
    parts = (record.betas, record.global_orient, record.hand_pose, record.transl)
    if model is None or record.is_right is None or any(part is None for part in parts):
        return None
    betas, orient, pose, transl = (torch.from_numpy(np.asarray(part))[None] for part in parts)
    params = HandParams.from_rotvec(betas, orient, pose)
    with torch.no_grad():
        mesh = model(params) if record.is_right else model(params.mirrored()).mirrored()
    return mesh.translated(transl).vertices[0].numpy()


def hand_tile(record: HandRecord, model: HandModel | None, size: int = 256) -> UInt8[np.ndarray, "size size 3"]:
    """The hand in a square picture; without a model to say how stored vertices hang together, they are dots.

    Keypoints without confidence are drawn dim where they lie in the cut-out of a hand that is known in 3D, and left
    out where there is no 3D either.

    Args:
        record: a hand.
        model: as `mesh_of`.
        size: pixels.

    Raises:
        FileError: the picture is damaged.
    """
    photo = open_image(record.image, name=record.sample_id)
    low, high = record.box[:2].astype(np.float64), record.box[2:].astype(np.float64)
    side = int(np.clip(MARGIN * (high - low).max(), 8, 4 * max(photo.size)))
    left, top = (int(value) for value in np.floor((low + high) / 2 - side / 2))
    tile = np.asarray(photo.crop((left, top, left + side, top + side)).resize((size, size)))
    scale = size / side
    to_tile = np.array([[scale, 0, -left * scale], [0, scale, -top * scale], [0, 0, 1]])
    vertices = mesh_of(record, model)
    if vertices is not None and record.intrinsics is not None:
        camera = to_tile @ record.intrinsics
        if model is None:
            tile = _with_dots(tile, project_points(vertices, camera))
        else:
            tile = _with_mesh(tile, vertices, model.faces.numpy(), camera)
    points = (record.keypoints_2d[:, :2].astype(np.float64) - (left, top)) * scale
    unsure = record.keypoints_2d[:, 2] <= 0
    shown = ((points >= 0) & (points <= size)).all(1) & (record.joints is not None)
    points[unsure & ~shown] = np.nan
    skeleton = draw_skeleton(points, unsure, size, size).astype(np.float32)
    mixed = tile * (1 - skeleton.max(2, keepdims=True) / 255) + skeleton
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _with_dots(tile: UInt8[np.ndarray, "s s 3"], pixels: Float[np.ndarray, "n 2"]) -> UInt8[np.ndarray, "s s 3"]:
    """Points as single pixels over a picture."""
    columns, rows = np.floor(pixels[(pixels >= 0).all(1) & (pixels < tile.shape[0]).all(1)]).astype(int).T
    dotted = tile.copy()
    dotted[rows, columns] = BLUE.astype(np.uint8)
    return dotted


def _with_mesh(
    tile: UInt8[np.ndarray, "s s 3"],
    vertices: Float[np.ndarray, "778 3"],
    faces: Int[np.ndarray, "f 3"],
    camera: Float[np.ndarray, "3 3"],
) -> UInt8[np.ndarray, "s s 3"]:
    """The mesh, lit from the camera, blended over a picture; `camera` may have two focal lengths and a skew."""
    in_pixels = (vertices.astype(np.float64) @ camera.T).astype(np.float32)  # x / z is then the column itself
    fragments = rasterize(in_pixels, faces, 1.0, (0.0, 0.0), tile.shape[0])
    corners = np.ascontiguousarray(vertices, dtype=np.float32)
    facing = np.abs(vertex_normals(corners, np.ascontiguousarray(faces, dtype=np.int32))[:, 2])
    on_hand = fragments.face_ids >= 0
    light = (fragments.barycentric * facing[faces[fragments.face_ids]]).sum(2)
    painted = BLUE * (0.35 + 0.65 * light[..., None])
    mixed = np.where(on_hand[..., None], tile * (1 - OPACITY) + OPACITY * painted, tile)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
