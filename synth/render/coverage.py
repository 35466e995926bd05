"""Which face is seen through which pixel: fixed-point coverage with the top-left rule and a depth buffer.

The weights of a pixel come from the ray through its centre (homogeneous rasterisation), so faces that reach behind the
camera need their outline cut and nothing else. Used by the control maps of paper 000, B.2.
"""

import numpy as np

from synth.render.compiled import compiled

SUBPIXEL_BITS = 8
SUBPIXELS = 1 << SUBPIXEL_BITS
FARTHEST = 1 << 28  # fixed-point coordinates are clamped here, so that edge functions fit in 64 bits
NEAR = 0.01  # metres; nothing nearer than this is drawn


@compiled
def _fixed(pixels):
    """A coordinate in pixels as a clamped fixed-point number."""
    return np.int64(min(max(np.rint(pixels * SUBPIXELS), -FARTHEST), FARTHEST))


@compiled
def _clip_span(first, last, edge, step, inverse_step):
    """Keeps the places k in first..last where edge - k step >= 0; the quotient is a guess that integers correct."""
    if step > 0:
        if edge < 0:
            return first, -1
        k = np.int64(edge * inverse_step)
        if edge - k * step < 0:
            k -= 1
        elif edge - (k + 1) * step >= 0:
            k += 1
        return first, min(last, k)
    if edge >= 0:
        return first, last
    if step == 0:
        return first, -1
    k = np.int64(edge * inverse_step)
    if edge - k * step < 0:
        k += 1
    return max(first, k), last


@compiled
def _fill(x0, y0, x1, y1, x2, y2, index, a, b, c, nearest, farthest, inverse_depth, face_ids):
    """Draws one fixed-point triangle into the buffers; 1 / z is a x + b y + c, kept within [farthest, nearest].

    Returns:
        Whether it was the nearest at some pixel so far.
    """
    touched = False
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    if area == 0:
        return touched
    if area < 0:
        x1, y1, x2, y2 = x2, y2, x1, y1
    half = SUBPIXELS // 2
    left = max(0, (min(x0, x1, x2) - half + SUBPIXELS - 1) >> SUBPIXEL_BITS)
    top = max(0, (min(y0, y1, y2) - half + SUBPIXELS - 1) >> SUBPIXEL_BITS)
    right = min(face_ids.shape[1] - 1, (max(x0, x1, x2) - half) >> SUBPIXEL_BITS)
    bottom = min(face_ids.shape[0] - 1, (max(y0, y1, y2) - half) >> SUBPIXEL_BITS)
    if left > right or top > bottom:
        return touched
    dx0, dy0, dx1, dy1, dx2, dy2 = x1 - x0, y1 - y0, x2 - x1, y2 - y1, x0 - x2, y0 - y2
    x, y = left * SUBPIXELS + half, top * SUBPIXELS + half
    # A centre on an edge belongs to the triangle below a top edge or right of a left edge, never to both neighbours.
    e0 = dx0 * (y - y0) - dy0 * (x - x0) - (0 if dy0 < 0 or (dy0 == 0 and dx0 > 0) else 1)
    e1 = dx1 * (y - y1) - dy1 * (x - x1) - (0 if dy1 < 0 or (dy1 == 0 and dx1 > 0) else 1)
    e2 = dx2 * (y - y2) - dy2 * (x - x2) - (0 if dy2 < 0 or (dy2 == 0 and dx2 > 0) else 1)
    s0, s1, s2 = dy0 * SUBPIXELS, dy1 * SUBPIXELS, dy2 * SUBPIXELS
    i0, i1, i2 = 1.0 / s0, 1.0 / s1, 1.0 / s2  # infinite for level edges, then unused
    width = right - left
    for row in range(top, bottom + 1):
        first, last = _clip_span(0, width, e0, s0, i0)
        first, last = _clip_span(first, last, e1, s1, i1)
        first, last = _clip_span(first, last, e2, s2, i2)
        line = b * row + c
        for column in range(left + first, left + last + 1):
            value = np.float32(min(max(a * column + line, farthest), nearest))
            if value > inverse_depth[row, column]:
                inverse_depth[row, column] = value
                face_ids[row, column] = index
                touched = True
        e0 += dx0 * SUBPIXELS
        e1 += dx1 * SUBPIXELS
        e2 += dx2 * SUBPIXELS
    return touched


@compiled
def _set_planes(points, inverse, per_focal, offset_x, offset_y, planes):
    """Weights of the corners as planes in the picture: d . (p_j x p_k) / det for the ray d (homogeneous rasterisation).

    They hold in front of the camera and behind it, so a face that is cut needs no new ones.
    """
    for corner in range(3):
        j = corner + 1 if corner < 2 else 0
        k = corner - 1 if corner > 0 else 2
        nx = (points[j, 1] * points[k, 2] - points[j, 2] * points[k, 1]) * inverse
        ny = (points[j, 2] * points[k, 0] - points[j, 0] * points[k, 2]) * inverse
        nz = (points[j, 0] * points[k, 1] - points[j, 1] * points[k, 0]) * inverse
        planes[corner, 0] = nx * per_focal
        planes[corner, 1] = ny * per_focal
        planes[corner, 2] = nx * offset_x + ny * offset_y + nz


@compiled
def draw_faces(vertices, faces, focal, cx, cy, height, width):
    """What is seen where, and what is needed to say more about it.

    Returns:
        face_ids [h,w] int32; planes [F,3,3] float32, weight of corner i over z = planes[face, i] . (column, row, 1);
        turned [F] bool, faces whose winding is clockwise as seen by the camera. Both are set for faces in sight only.
    """
    inverse_depth = np.zeros((height, width), np.float32)
    face_ids = np.full((height, width), -1, np.int32)
    planes = np.empty((len(faces), 3, 3), np.float32)
    turned = np.zeros(len(faces), np.bool_)
    xs, ys = np.empty(len(vertices), np.int64), np.empty(len(vertices), np.int64)
    for index in range(len(vertices)):
        z = np.float64(vertices[index, 2])
        if z >= NEAR:
            xs[index] = _fixed(focal * vertices[index, 0] / z + cx)
            ys[index] = _fixed(focal * vertices[index, 1] / z + cy)
    points = np.empty((3, 3))
    polygon_x, polygon_y = np.empty(4, np.int64), np.empty(4, np.int64)
    per_focal = 1 / focal
    offset_x, offset_y = (0.5 - cx) * per_focal, (0.5 - cy) * per_focal
    for index in range(len(faces)):
        in_front = 0
        for corner in range(3):
            vertex = faces[index, corner]
            for axis in range(3):
                points[corner, axis] = vertices[vertex, axis]
            in_front += points[corner, 2] >= NEAR
        if in_front == 0:
            continue
        # The ray d through a pixel meets the plane of the face at 1 / z = d . normal / (any point . normal).
        ux, uy, uz = points[1, 0] - points[0, 0], points[1, 1] - points[0, 1], points[1, 2] - points[0, 2]
        vx, vy, vz = points[2, 0] - points[0, 0], points[2, 1] - points[0, 1], points[2, 2] - points[0, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        determinant = points[0, 0] * nx + points[0, 1] * ny + points[0, 2] * nz
        if determinant == 0:
            continue
        inverse = 1 / determinant
        a, b = nx * inverse * per_focal, ny * inverse * per_focal
        c = (nx * offset_x + ny * offset_y + nz) * inverse
        z0, z1, z2 = max(points[0, 2], NEAR), max(points[1, 2], NEAR), max(points[2, 2], NEAR)
        nearest, farthest = 1 / min(z0, z1, z2), 1 / max(z0, z1, z2)
        if in_front == 3:
            v0, v1, v2 = faces[index, 0], faces[index, 1], faces[index, 2]
            touched = _fill(
                xs[v0], ys[v0], xs[v1], ys[v1], xs[v2], ys[v2],
                index, a, b, c, nearest, farthest, inverse_depth, face_ids,
            )  # fmt: skip
            if touched:
                turned[index] = determinant > 0
                _set_planes(points, inverse, per_focal, offset_x, offset_y, planes[index])
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
        turned[index] = determinant > 0
        _set_planes(points, inverse, per_focal, offset_x, offset_y, planes[index])
        for last in range(2, count):
            _fill(
                polygon_x[0], polygon_y[0], polygon_x[last - 1], polygon_y[last - 1], polygon_x[last], polygon_y[last],
                index, a, b, c, nearest, farthest, inverse_depth, face_ids,
            )  # fmt: skip
    return face_ids, planes, turned
