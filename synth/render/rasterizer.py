"""Triangles to control maps on the CPU, with no GL: depth, camera-space normals, part ids and mask from one pass.

Coverage is decided in fixed point with the top-left rule, so a shared edge is drawn exactly once; barycentrics are the
perspective-correct ones of the ray through the pixel centre. Such maps guide MMHMR's ControlNet (paper 000, B.2).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int32, UInt8

from synth.render.compiled import compiled

SUBPIXEL_BITS = 8
SUBPIXELS = 1 << SUBPIXEL_BITS
FARTHEST = 1 << 28  # fixed-point coordinates are clamped here, so that edge functions fit in 64 bits
NEAR = 0.01  # metres; nothing nearer than this is drawn


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
    """Unit smooth normals in the OpenCV camera frame, turned to the viewer; 0 outside the mask."""
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
    vertices, faces, center, (height, width) = _checked(vertices_cam, faces, focal_length, principal_point, size)
    face_ids, planes = _draw(vertices, faces, float(focal_length), center[0], center[1], height, width)
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
    vertices, faces, center, (height, width) = _checked(vertices_cam, faces, focal_length, principal_point, size)
    if len(part_of_vertex) != len(vertices):
        raise ValueError(f"part_of_vertex has {len(part_of_vertex)} entries; the mesh has {len(vertices)} vertices.")
    parts = np.ascontiguousarray(part_of_vertex, dtype=np.uint8)
    face_ids, planes = _draw(vertices, faces, float(focal_length), center[0], center[1], height, width)
    scale = np.array([1.0 / focal_length, center[0], center[1]])
    maps = _resolve_maps(vertices, faces, parts, vertex_normals(vertices, faces), face_ids, planes, scale)
    return ControlMaps(*maps, face_ids)


def _checked(
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
    center = (
        (width / 2, height / 2) if principal_point is None else (float(principal_point[0]), float(principal_point[1]))
    )
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
def _fixed(pixels):
    """A coordinate in pixels as a clamped fixed-point number."""
    return np.int64(min(max(np.rint(pixels * SUBPIXELS), -FARTHEST), FARTHEST))


@compiled
def _fill(x0, y0, x1, y1, x2, y2, index, a, b, c, nearest, farthest, inverse_depth, face_ids):
    """Draws one fixed-point triangle into the buffers; 1 / z is a x + b y + c, kept within [farthest, nearest]."""
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    if area == 0:
        return
    if area < 0:
        x1, y1, x2, y2 = x2, y2, x1, y1
    half = SUBPIXELS // 2
    left = max(0, (min(x0, x1, x2) - half + SUBPIXELS - 1) >> SUBPIXEL_BITS)
    top = max(0, (min(y0, y1, y2) - half + SUBPIXELS - 1) >> SUBPIXEL_BITS)
    right = min(face_ids.shape[1] - 1, (max(x0, x1, x2) - half) >> SUBPIXEL_BITS)
    bottom = min(face_ids.shape[0] - 1, (max(y0, y1, y2) - half) >> SUBPIXEL_BITS)
    if left > right or top > bottom:
        return
    dx0, dy0, dx1, dy1, dx2, dy2 = x1 - x0, y1 - y0, x2 - x1, y2 - y1, x0 - x2, y0 - y2
    x, y = left * SUBPIXELS + half, top * SUBPIXELS + half
    # A centre on an edge belongs to the triangle below a top edge or right of a left edge, never to both neighbours.
    e0 = dx0 * (y - y0) - dy0 * (x - x0) - (0 if dy0 < 0 or (dy0 == 0 and dx0 > 0) else 1)
    e1 = dx1 * (y - y1) - dy1 * (x - x1) - (0 if dy1 < 0 or (dy1 == 0 and dx1 > 0) else 1)
    e2 = dx2 * (y - y2) - dy2 * (x - x2) - (0 if dy2 < 0 or (dy2 == 0 and dx2 > 0) else 1)
    for row in range(top, bottom + 1):
        w0, w1, w2 = e0, e1, e2
        entered = False
        line = b * row + c
        for column in range(left, right + 1):
            if (w0 | w1 | w2) >= 0:
                entered = True
                value = np.float32(min(max(a * column + line, farthest), nearest))
                if value > inverse_depth[row, column]:
                    inverse_depth[row, column] = value
                    face_ids[row, column] = index
            elif entered:
                break
            w0 -= dy0 * SUBPIXELS
            w1 -= dy1 * SUBPIXELS
            w2 -= dy2 * SUBPIXELS
        e0 += dx0 * SUBPIXELS
        e1 += dx1 * SUBPIXELS
        e2 += dx2 * SUBPIXELS


@compiled
def _draw(vertices, faces, focal, cx, cy, height, width):
    """Face ids [h,w] and, per face, the planes [F,3,3]: weight of corner i over z = planes[i] . (column, row, 1)."""
    inverse_depth = np.zeros((height, width), np.float32)
    face_ids = np.full((height, width), -1, np.int32)
    planes = np.empty((len(faces), 3, 3))
    xs, ys = np.empty(len(vertices), np.int64), np.empty(len(vertices), np.int64)
    for index in range(len(vertices)):
        z = np.float64(vertices[index, 2])
        if z >= NEAR:
            xs[index] = _fixed(focal * vertices[index, 0] / z + cx)
            ys[index] = _fixed(focal * vertices[index, 1] / z + cy)
    points = np.empty((3, 3))
    polygon_x, polygon_y = np.empty(4, np.int64), np.empty(4, np.int64)
    offset_x, offset_y = (0.5 - cx) / focal, (0.5 - cy) / focal
    for index in range(len(faces)):
        in_front = 0
        for corner in range(3):
            vertex = faces[index, corner]
            for axis in range(3):
                points[corner, axis] = vertices[vertex, axis]
            in_front += points[corner, 2] >= NEAR
        if in_front == 0:
            continue
        # The ray d through a pixel meets the face at weights d . (p_j x p_k) / det (homogeneous rasterisation), so no
        # clipping is needed for the weights, only for the outline.
        nx = points[1, 1] * points[2, 2] - points[1, 2] * points[2, 1]
        ny = points[1, 2] * points[2, 0] - points[1, 0] * points[2, 2]
        nz = points[1, 0] * points[2, 1] - points[1, 1] * points[2, 0]
        determinant = points[0, 0] * nx + points[0, 1] * ny + points[0, 2] * nz
        if determinant == 0:
            continue
        a, b, c = 0.0, 0.0, 0.0
        for corner in range(3):
            j, k = (corner + 1) % 3, (corner + 2) % 3
            nx = (points[j, 1] * points[k, 2] - points[j, 2] * points[k, 1]) / determinant
            ny = (points[j, 2] * points[k, 0] - points[j, 0] * points[k, 2]) / determinant
            nz = (points[j, 0] * points[k, 1] - points[j, 1] * points[k, 0]) / determinant
            planes[index, corner, 0] = nx / focal
            planes[index, corner, 1] = ny / focal
            planes[index, corner, 2] = nx * offset_x + ny * offset_y + nz
            a += planes[index, corner, 0]
            b += planes[index, corner, 1]
            c += planes[index, corner, 2]
        z0, z1, z2 = max(points[0, 2], NEAR), max(points[1, 2], NEAR), max(points[2, 2], NEAR)
        nearest, farthest = 1 / min(z0, z1, z2), 1 / max(z0, z1, z2)
        if in_front == 3:
            v0, v1, v2 = faces[index, 0], faces[index, 1], faces[index, 2]
            _fill(
                xs[v0], ys[v0], xs[v1], ys[v1], xs[v2], ys[v2],
                index, a, b, c, nearest, farthest, inverse_depth, face_ids,
            )  # fmt: skip
            continue
        count = 0
        for corner in range(3):
            following = (corner + 1) % 3
            if points[corner, 2] >= NEAR:
                polygon_x[count], polygon_y[count] = xs[faces[index, corner]], ys[faces[index, corner]]
                count += 1
            if (points[corner, 2] >= NEAR) != (points[following, 2] >= NEAR):
                # From the vertex in front to the one behind, so that both faces of an edge cut it at the same place.
                front, behind = (corner, following) if points[corner, 2] >= NEAR else (following, corner)
                t = (points[front, 2] - NEAR) / (points[front, 2] - points[behind, 2])
                polygon_x[count] = _fixed(
                    focal * (points[front, 0] + t * (points[behind, 0] - points[front, 0])) / NEAR + cx
                )
                polygon_y[count] = _fixed(
                    focal * (points[front, 1] + t * (points[behind, 1] - points[front, 1])) / NEAR + cy
                )
                count += 1
        for last in range(2, count):
            _fill(
                polygon_x[0], polygon_y[0], polygon_x[last - 1], polygon_y[last - 1], polygon_x[last], polygon_y[last],
                index, a, b, c, nearest, farthest, inverse_depth, face_ids,
            )  # fmt: skip
    return face_ids, planes


@compiled
def _weights(planes, index, column, row):
    """Perspective-correct weights at a pixel centre, kept inside the face (its outline was rounded to 1/256 pixel)."""
    w0 = max(planes[index, 0, 0] * column + planes[index, 0, 1] * row + planes[index, 0, 2], 0.0)
    w1 = max(planes[index, 1, 0] * column + planes[index, 1, 1] * row + planes[index, 1, 2], 0.0)
    w2 = max(planes[index, 2, 0] * column + planes[index, 2, 1] * row + planes[index, 2, 2], 0.0)
    total = w0 + w1 + w2
    if total <= 0:
        return 1 / 3, 1 / 3, 1 / 3
    return w0 / total, w1 / total, w2 / total


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
            w0, w1, w2 = _weights(planes, index, column, row)
            barycentric[row, column, 0] = w0
            barycentric[row, column, 1] = w1
            barycentric[row, column, 2] = w2
            v0, v1, v2 = faces[index, 0], faces[index, 1], faces[index, 2]
            depth[row, column] = w0 * vertices[v0, 2] + w1 * vertices[v1, 2] + w2 * vertices[v2, 2]
    return barycentric, depth


@compiled
def _resolve_maps(vertices, faces, parts, normals, face_ids, planes, scale):
    """Depth [h,w], normals [h,w,3], part ids [h,w] and mask [h,w] of drawn faces; scale is (1 / focal, cx, cy)."""
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
            w0, w1, w2 = _weights(planes, index, column, row)
            v0, v1, v2 = faces[index, 0], faces[index, 1], faces[index, 2]
            mask[row, column] = True
            depth[row, column] = w0 * vertices[v0, 2] + w1 * vertices[v1, 2] + w2 * vertices[v2, 2]
            heaviest = v0 if w0 >= w1 and w0 >= w2 else (v1 if w1 >= w2 else v2)
            part_ids[row, column] = parts[heaviest] + 1
            nx = w0 * normals[v0, 0] + w1 * normals[v1, 0] + w2 * normals[v2, 0]
            ny = w0 * normals[v0, 1] + w1 * normals[v1, 1] + w2 * normals[v2, 1]
            nz = w0 * normals[v0, 2] + w1 * normals[v1, 2] + w2 * normals[v2, 2]
            length = np.sqrt(nx * nx + ny * ny + nz * nz)
            if length == 0:
                continue
            # Towards the viewer: the inside of an open wrist is shown as a surface too.
            away = nx * (column + 0.5 - scale[1]) * scale[0] + ny * (row + 0.5 - scale[2]) * scale[0] + nz
            length = -length if away > 0 else length
            shading[row, column, 0] = nx / length
            shading[row, column, 1] = ny / length
            shading[row, column, 2] = nz / length
    return depth, shading, part_ids, mask
