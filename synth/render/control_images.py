"""The pictures that guide the painter: a hand mesh as shaded normals, and a hand pose as a coloured skeleton.

Both controls of paper 000 (mesh-guided and 2D-pose-guided ControlNet, B.2 and H), antialiased, on black, without GL.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8

from synth.render.compiled import compiled
from synth.render.coverage import draw_faces
from synth.render.rasterizer import checked, pixel_weights, vertex_normals
from synth.render.skeleton_picture import draw_skeleton

SAMPLES = 3  # per pixel and axis of the mesh picture
AMBIENT = 0.45  # brightness of a surface seen edge-on, where 1 is one that faces the camera

# How far a joint may lie behind the surface in front of it and still be seen, in palm lengths (wrist to base of the
# middle finger): what 99 % of flat default hands of random shapes need, seen within 30 degrees of palm or back.
_FINGER = (0.31, 0.18, 0.16, 0.13)
THICKNESS = np.array([0.36, 0.42, 0.25, 0.20, 0.15, *_FINGER, *_FINGER, *_FINGER, *_FINGER])


def mesh_control_image(
    vertices_cam: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    focal_length: float,
    principal_point: Float[np.ndarray, "2"] | tuple[float, float] | None = None,
    size: int | tuple[int, int] = 128,
) -> UInt8[np.ndarray, "h w 3"]:
    """Camera-space normals as colours, darker where the surface turns away, so that outlines stay readable when small.

    Right is red, up is green, towards the camera is blue; the left hand's picture is not the mirrored right hand's one.

    Args:
        vertices_cam: metres, OpenCV camera frame.
        faces: vertex indices; a mirrored hand needs no other faces.
        focal_length: pixels.
        principal_point: pixels; the image centre when absent.
        size: pixels, of a square, or (height, width).

    Raises:
        ValueError: as `synth.render.rasterizer.rasterize`.
    """
    vertices, faces, center, (height, width) = checked(vertices_cam, faces, focal_length, principal_point, size)
    x, y, focal_length = center[0] * SAMPLES, center[1] * SAMPLES, float(focal_length) * SAMPLES
    face_ids, planes, turned = draw_faces(vertices, faces, focal_length, x, y, height * SAMPLES, width * SAMPLES)
    return _shade_normals(faces, vertex_normals(vertices, faces), face_ids, planes, turned, SAMPLES, AMBIENT)


def mesh_control_images(
    vertices_cam: Float[np.ndarray, "b v 3"],
    faces: Int[np.ndarray, "f 3"],
    focal_length: Float[np.ndarray, "b"] | float,
    principal_point: Float[np.ndarray, "b 2"] | None = None,
    size: int | tuple[int, int] = 128,
) -> UInt8[np.ndarray, "b h w 3"]:
    """`mesh_control_image` of every hand of a batch; one focal length serves all, or each has its own."""
    focal_lengths = np.broadcast_to(focal_length, len(vertices_cam))
    centers = [None] * len(vertices_cam) if principal_point is None else principal_point
    rows = zip(vertices_cam, focal_lengths, centers, strict=True)
    return np.stack([mesh_control_image(mesh, faces, float(focal), center, size) for mesh, focal, center in rows])


def pose_control_image(
    keypoints_2d: Float[np.ndarray, "21 _"],
    occluded: Bool[np.ndarray, "21"] | None = None,
    size: int | tuple[int, int] = 128,
) -> UInt8[np.ndarray, "h w 3"]:
    """The coloured hand skeleton: a hue per finger, brighter towards the tip, white at the wrist.

    Occluded joints are hollow and the bones between them dim; what is seen is drawn over what is not.

    Args:
        keypoints_2d: pixels x, y of the 21 joints, and possibly a third column. A joint that is not finite is left out.
        occluded: True for joints hidden by the hand or a thing; when absent, those whose third column is 0, or none.
        size: pixels, of a square, or (height, width).

    Raises:
        ValueError: if the keypoints have neither two nor three columns, or the size is not positive.
    """
    height, width = (size, size) if isinstance(size, int | np.integer) else size
    if height < 1 or width < 1:
        raise ValueError(f"The image size to draw is {height} x {width} pixels; both must be at least 1.")
    if keypoints_2d.shape[1] not in (2, 3):
        raise ValueError(f"Keypoints to draw have {keypoints_2d.shape[1]} columns; allowed are x, y and a confidence.")
    if occluded is None:
        occluded = keypoints_2d[:, 2] <= 0 if keypoints_2d.shape[1] == 3 else np.zeros(21, dtype=bool)
    points = np.ascontiguousarray(keypoints_2d[:, :2], dtype=np.float64)
    return draw_skeleton(points, np.ascontiguousarray(occluded), int(height), int(width))


def pose_control_images(
    keypoints_2d: Float[np.ndarray, "b 21 _"],
    occluded: Bool[np.ndarray, "b 21"] | None = None,
    size: int | tuple[int, int] = 128,
) -> UInt8[np.ndarray, "b h w 3"]:
    """`pose_control_image` of every hand of a batch."""
    hidden = [None] * len(keypoints_2d) if occluded is None else occluded
    return np.stack([pose_control_image(*row, size) for row in zip(keypoints_2d, hidden, strict=True)])


def occluded_joints(
    joints_cam: Float[np.ndarray, "21 3"],
    depth: Float32[np.ndarray, "h w"],
    focal_length: float,
    principal_point: Float[np.ndarray, "2"] | tuple[float, float] | None = None,
    thickness: Float[np.ndarray, "21"] = THICKNESS,
) -> Bool[np.ndarray, "21"]:
    """Which joints lie behind another part of the hand, or behind whatever else the depth map shows.

    Args:
        joints_cam: metres, OpenCV camera frame.
        depth: metres, 0 where nothing is; the hand itself included.
        focal_length: pixels of the depth map.
        principal_point: pixels of the depth map; its centre when absent.
        thickness: how far below the surface each joint may lie, in lengths from wrist to the middle finger's base.

    Returns:
        True where hidden; False for joints outside the picture or behind the camera.
    """
    height, width = depth.shape
    center = np.asarray((width / 2, height / 2) if principal_point is None else principal_point)
    z = joints_cam[:, 2]
    ahead = z > 0
    pixels = np.floor(joints_cam[:, :2] / np.where(ahead, z, 1)[:, None] * focal_length + center)
    inside = ahead & (pixels >= 0).all(axis=1) & (pixels < (width, height)).all(axis=1)
    columns, rows = np.where(inside[:, None], pixels, 0).astype(int).T
    surface = depth[rows, columns]
    palm = np.linalg.norm(joints_cam[9] - joints_cam[0])
    return inside & (surface > 0) & (z - surface > thickness * palm)


@compiled
def _shade_normals(faces, normals, face_ids, planes, turned, samples, ambient):
    """Colours [h,w,3] uint8 averaged over samples x samples fragments a pixel."""
    height, width = face_ids.shape[0] // samples, face_ids.shape[1] // samples
    picture = np.zeros((height, width, 3), np.uint8)
    half, none = np.float32(0.5), np.float32(0)
    low, high = np.float32(ambient), np.float32(1 - ambient)
    scale = np.float32(255.0 / (samples * samples))
    for row in range(height):
        for column in range(width):
            red, green, blue = np.float32(0), np.float32(0), np.float32(0)
            for sample_row in range(row * samples, (row + 1) * samples):
                for sample_column in range(column * samples, (column + 1) * samples):
                    index = face_ids[sample_row, sample_column]
                    if index < 0:
                        continue
                    w0, w1, w2 = pixel_weights(planes, index, sample_column, sample_row)
                    v0, v1, v2 = faces[index, 0], faces[index, 1], faces[index, 2]
                    nx = w0 * normals[v0, 0] + w1 * normals[v1, 0] + w2 * normals[v2, 0]
                    ny = w0 * normals[v0, 1] + w1 * normals[v1, 1] + w2 * normals[v2, 1]
                    nz = w0 * normals[v0, 2] + w1 * normals[v1, 2] + w2 * normals[v2, 2]
                    squared = nx * nx + ny * ny + nz * nz
                    if squared == 0:
                        continue
                    length = (np.float32(-1) if turned[index] else np.float32(1)) / np.sqrt(squared)
                    facing = max(-nz * length, none)
                    light = low + high * facing
                    red += light * (half + half * nx * length)
                    green += light * (half - half * ny * length)
                    blue += light * (half + half * facing)
            picture[row, column, 0] = np.uint8(red * scale + half)
            picture[row, column, 1] = np.uint8(green * scale + half)
            picture[row, column, 2] = np.uint8(blue * scale + half)
    return picture
