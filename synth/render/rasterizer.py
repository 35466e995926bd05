"""Triangles to control maps on the CPU, with no GL: depth, camera-space normals, part ids and mask from one pass.

Coverage is decided in fixed point with the top-left rule, so a shared edge is drawn exactly once; barycentrics are the
perspective-correct ones of the ray through the pixel centre. Such maps guide MMHMR's ControlNet (paper 000, B.2).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int32, UInt8

from synth.render.compiled import compiled
from synth.render.coverage import draw_faces


@dataclass(frozen=True)
class Fragments:
    """What is seen through every pixel centre of an image."""

    face_ids: Int32[np.ndarray, "h w"]
    """Index of the nearest face, -1 where there is none."""
    barycentric: Float32[np.ndarray, "h w 3"]
    """Perspective-correct weights of that face's vertices, each in [0, 1], sum 1; 0 where there is no face."""
    depth: Float32[np.ndarray, "h w"]
    """Metres along the optical axis; 0 where there is no face."""


@dataclass(frozen=True)
class ControlMaps:
    """The maps that describe a hand in a picture, one value per pixel centre."""

    depth: Float32[np.ndarray, "h w"]
    """Metres along the optical axis; 0 outside the mask."""
    normals: Float32[np.ndarray, "h w 3"]
    """Unit smooth normals in the OpenCV camera frame, on the side of the face that is seen; 0 outside the mask."""
    part_ids: UInt8[np.ndarray, "h w"]
    """1 + MANO joint index of the part; 0 outside the mask."""
    mask: Bool[np.ndarray, "h w"]
    """True on the hand."""
    face_ids: Int32[np.ndarray, "h w"]
    """Index of the nearest face, -1 outside the mask."""


def rasterize(
    vertices_cam: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    focal_length: float,
    principal_point: Float[np.ndarray, "2"] | tuple[float, float] | None = None,
    size: int | tuple[int, int] = 256,
) -> Fragments:
    """Finds the nearest face under every pixel centre.

    Args:
        vertices_cam: metres, OpenCV camera frame (x right, y down, z forward).
        faces: vertex indices; both sides are drawn.
        focal_length: pixels.
        principal_point: pixels, x and y, the image centre when absent; column 0 has its centre at x = 0.5.
        size: pixels, of a square, or (height, width).

    Raises:
        ValueError: if a vertex is not finite, a face names no vertex, or focal length or size is not positive.
    """
    vertices, faces, center, (height, width) = checked(vertices_cam, faces, focal_length, principal_point, size)
    face_ids, planes, _ = draw_faces(vertices, faces, float(focal_length), *center, height, width)
    barycentric, depth = _resolve_fragments(vertices, faces, face_ids, planes)
    return Fragments(face_ids, barycentric, depth)


def control_maps(
    vertices_cam: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    part_of_vertex: Int[np.ndarray, "v"],
    focal_length: float,
    principal_point: Float[np.ndarray, "2"] | tuple[float, float] | None = None,
    size: int | tuple[int, int] = 256,
) -> ControlMaps:
    """Draws all control maps of one mesh; arguments as in `rasterize`.

    Args:
        vertices_cam: metres, OpenCV camera frame.
        faces: vertex indices, counter-clockwise seen from outside or all the other way round.
        part_of_vertex: part index of every vertex, 0..254 (MANO joints: 0..15).
        focal_length: pixels.
        principal_point: pixels, x and y; the image centre when absent.
        size: pixels, of a square, or (height, width).

    Raises:
        ValueError: as `rasterize`.
    """
    vertices, faces, center, (height, width) = checked(vertices_cam, faces, focal_length, principal_point, size)
    if len(part_of_vertex) != len(vertices):
        raise ValueError(f"part_of_vertex has {len(part_of_vertex)} entries; the mesh has {len(vertices)} vertices.")
    parts = np.ascontiguousarray(part_of_vertex, dtype=np.uint8)
    face_ids, planes, turned = draw_faces(vertices, faces, float(focal_length), *center, height, width)
    normals = vertex_normals(vertices, faces)
    depth, normals, part_ids, mask = _resolve_maps(vertices, faces, parts, normals, face_ids, planes, turned)
    return ControlMaps(depth, normals, part_ids, mask, face_ids)


def checked(
    vertices_cam: np.ndarray,
    faces: np.ndarray,
    focal_length: float,
    principal_point: np.ndarray | tuple[float, float] | None,
    size: int | tuple[int, int],
) -> tuple[np.ndarray, np.ndarray, tuple[float, float], tuple[int, int]]:
    """Contiguous float32 and int32 arrays, the principal point and (height, width), or one clear error."""
    height, width = (size, size) if isinstance(size, int | np.integer) else size
    if height < 1 or width < 1:
        raise ValueError(f"The image size to draw is {height} x {width} pixels; both must be at least 1.")
    if not focal_length > 0:
        raise ValueError(f"The focal length is {focal_length} pixels; it must be above 0.")
    vertices = np.ascontiguousarray(vertices_cam, dtype=np.float32)
    indices = np.ascontiguousarray(faces, dtype=np.int32)
    if not np.isfinite(vertices).all():
        raise ValueError("The mesh to draw has a vertex that is not finite; coordinates are numbers in metres.")
    if indices.size and not (indices.min() >= 0 and indices.max() < len(vertices)):
        raise ValueError(
            f"The faces to draw name vertices {indices.min()}..{indices.max()}; the mesh has 0..{len(vertices) - 1}."
        )
    x, y = (width / 2, height / 2) if principal_point is None else principal_point
    return vertices, indices, (float(x), float(y)), (int(height), int(width))


@compiled
def vertex_normals(vertices, faces):
    """Area-weighted unit normals [V,3] float32 of a mesh (vertices [V,3] float32, faces [F,3] int32)."""
    normals = np.zeros((len(vertices), 3), np.float32)
    for index in range(len(faces)):
        a, b, c = faces[index, 0], faces[index, 1], faces[index, 2]
        ux, uy, uz = (vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2])
        vx, vy, vz = (vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2])
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for corner in (a, b, c):
            normals[corner, 0] += nx
            normals[corner, 1] += ny
            normals[corner, 2] += nz
    for index in range(len(normals)):
        nx, ny, nz = normals[index, 0], normals[index, 1], normals[index, 2]
        length = np.sqrt(nx * nx + ny * ny + nz * nz)
        if length > 0:
            normals[index, 0], normals[index, 1], normals[index, 2] = nx / length, ny / length, nz / length
    return normals


@compiled
def pixel_weights(planes, index, column, row):
    """Perspective-correct weights at a pixel centre, kept inside the face (its outline was rounded to 1/256 pixel)."""
    x, y, none = np.float32(column), np.float32(row), np.float32(0)
    w0 = max(planes[index, 0, 0] * x + planes[index, 0, 1] * y + planes[index, 0, 2], none)
    w1 = max(planes[index, 1, 0] * x + planes[index, 1, 1] * y + planes[index, 1, 2], none)
    w2 = max(planes[index, 2, 0] * x + planes[index, 2, 1] * y + planes[index, 2, 2], none)
    total = w0 + w1 + w2
    if total <= none:
        return np.float32(1 / 3), np.float32(1 / 3), np.float32(1 / 3)
    scale = np.float32(1) / total
    return w0 * scale, w1 * scale, w2 * scale


@compiled
def _resolve_fragments(vertices, faces, face_ids, planes):
    """Barycentrics [h,w,3] and depth [h,w] of drawn faces."""
    height, width = face_ids.shape
    barycentric = np.zeros((height, width, 3), np.float32)
    depth = np.zeros((height, width), np.float32)
    for row in range(height):
        for column in range(width):
            index = face_ids[row, column]
            if index < 0:
                continue
            w0, w1, w2 = pixel_weights(planes, index, column, row)
            barycentric[row, column, 0] = w0
            barycentric[row, column, 1] = w1
            barycentric[row, column, 2] = w2
            v0, v1, v2 = faces[index, 0], faces[index, 1], faces[index, 2]
            depth[row, column] = w0 * vertices[v0, 2] + w1 * vertices[v1, 2] + w2 * vertices[v2, 2]
    return barycentric, depth


@compiled
def _resolve_maps(vertices, faces, parts, normals, face_ids, planes, turned):
    """Depth [h,w], normals [h,w,3], part ids [h,w] and mask [h,w] of drawn faces."""
    height, width = face_ids.shape
    depth = np.zeros((height, width), np.float32)
    shading = np.zeros((height, width, 3), np.float32)
    part_ids = np.zeros((height, width), np.uint8)
    mask = np.zeros((height, width), np.bool_)
    for row in range(height):
        for column in range(width):
            index = face_ids[row, column]
            if index < 0:
                continue
            w0, w1, w2 = pixel_weights(planes, index, column, row)
            v0, v1, v2 = faces[index, 0], faces[index, 1], faces[index, 2]
            mask[row, column] = True
            depth[row, column] = w0 * vertices[v0, 2] + w1 * vertices[v1, 2] + w2 * vertices[v2, 2]
            heaviest = v0 if w0 >= w1 and w0 >= w2 else (v1 if w1 >= w2 else v2)
            part_ids[row, column] = parts[heaviest] + 1
            nx = w0 * normals[v0, 0] + w1 * normals[v1, 0] + w2 * normals[v2, 0]
            ny = w0 * normals[v0, 1] + w1 * normals[v1, 1] + w2 * normals[v2, 1]
            nz = w0 * normals[v0, 2] + w1 * normals[v1, 2] + w2 * normals[v2, 2]
            squared = nx * nx + ny * ny + nz * nz
            if squared == 0:
                continue
            # The inside of an open wrist is a surface too, and a mirrored hand has its faces the other way round.
            length = (np.float32(-1) if turned[index] else np.float32(1)) / np.sqrt(squared)
            shading[row, column, 0] = nx * length
            shading[row, column, 1] = ny * length
            shading[row, column, 2] = nz * length
    return depth, shading, part_ids, mask
