"""Shaded pictures of hand meshes by pyrender: overlays on photos with a side view, portraits, turntables.

The only file that imports pyrender, through EGL and without a display. It is also the oracle that the rasteriser of the
control maps is compared with, and the pictures are laid out as the qualitative figures of paper 000 are.
"""

import os
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from synth.render.rasterizer import vertex_normals

SKY_BLUE = (0.30, 0.52, 0.82)  # linear albedo
SKIN = (0.74, 0.42, 0.30)
Z_NEAR, Z_FAR = 0.02, 50.0  # metres
TO_OPENGL = np.array([1, -1, -1], dtype=np.float32)
_LOCK = threading.Lock()  # an OpenGL context belongs to one thread at a time


class NoRendererError(RuntimeError):
    """OpenGL cannot be used on this machine; the message says what to install."""


@cache
def _pyrender() -> Any:
    """The module, imported with its platform set and with the name that numpy 2 dropped."""
    os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
    if not hasattr(np, "infty"):
        np.infty = np.inf  # type: ignore[attr-defined]
    try:
        import pyrender
    except (ImportError, AttributeError) as error:
        raise NoRendererError(
            f"Shaded pictures need EGL ({error}); on Debian: apt-get install libegl1 libgles2 libgl1-mesa-dri."
        ) from error
    return pyrender


@cache
def _renderer(height: int, width: int, process: int) -> Any:
    """The one renderer of a size in this process; a forked process makes its own."""
    try:
        return _pyrender().OffscreenRenderer(width, height)
    except NoRendererError:
        raise
    except Exception as error:  # PyOpenGL and EGL raise many kinds
        raise NoRendererError(
            f"EGL gives no OpenGL context ({type(error).__name__}: {error}); "
            "on Debian: apt-get install libegl1 libgles2 libgl1-mesa-dri."
        ) from error


def outward_faces(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "f 3"]:
    """The faces wound counter-clockwise seen from outside; those of a mirrored mesh are turned round.

    Args:
        vertices: any unit, right-handed axes; the mesh may have small holes.
        faces: vertex indices, all wound the same way.
    """
    corners = (vertices - vertices.mean(axis=0))[faces]
    volume = np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    return faces if volume >= 0 else faces[:, ::-1]


def build_scene(
    meshes: Sequence[Float[np.ndarray, "v 3"]] | Float[np.ndarray, "n v 3"],
    faces: Int[np.ndarray, "f 3"],
    focal_length: float,
    principal_point: Float[np.ndarray, "2"] | tuple[float, float],
    color: tuple[float, float, float] = SKY_BLUE,
    *,
    vertex_colors: Float[np.ndarray, "v 3"] | None = None,
    both_windings: bool = False,
) -> Any:
    """A pyrender scene: meshes in the OpenCV camera frame (metres), camera in pixels, three lights.

    Args:
        meshes: vertices of each mesh.
        faces: vertex indices of all meshes.
        focal_length: pixels.
        principal_point: pixels.
        color: linear RGB in [0, 1], where no vertex colours are given.
        vertex_colors: RGB in [0, 1].
        both_windings: hold every face twice, once for each side; `draw_depth` needs it to see the inside of a wrist.
    """
    pyrender = _pyrender()
    scene = pyrender.Scene(bg_color=(0.0, 0.0, 0.0, 0.0), ambient_light=(0.05, 0.05, 0.06))
    material = pyrender.MetallicRoughnessMaterial(
        baseColorFactor=(*color, 1.0) if vertex_colors is None else (1.0, 1.0, 1.0, 1.0),
        metallicFactor=0.0,
        roughnessFactor=0.65,
        doubleSided=True,
    )
    for vertices in meshes:
        positions = np.ascontiguousarray(vertices, dtype=np.float32) * TO_OPENGL
        wound = np.ascontiguousarray(outward_faces(positions, faces), dtype=np.int32)
        indices = np.concatenate([wound, wound[:, ::-1]]) if both_windings else wound
        primitive = pyrender.Primitive(
            positions=positions,
            normals=vertex_normals(positions, wound),
            indices=indices,
            color_0=vertex_colors,
            material=material,
        )
        scene.add(pyrender.Mesh([primitive]))
    x, y = float(principal_point[0]), float(principal_point[1])
    scene.add(pyrender.IntrinsicsCamera(focal_length, focal_length, x, y, znear=Z_NEAR, zfar=Z_FAR))
    for direction, intensity in (((-0.7, -1.0, -0.6), 3.4), ((1.0, -0.1, -0.5), 0.8), ((0.2, 1.0, 0.1), 0.5)):
        scene.add(pyrender.DirectionalLight(color=np.ones(3), intensity=intensity), pose=_pose_along(direction))
    return scene


def _pose_along(direction: tuple[float, float, float]) -> Float[np.ndarray, "4 4"]:
    """The pose of a light that shines along a direction (OpenGL axes; a light shines along its -z)."""
    z = -np.array(direction) / np.linalg.norm(direction)
    x = np.cross((0.0, 1.0, 0.0) if abs(z[1]) < 0.9 else (1.0, 0.0, 0.0), z)
    x /= np.linalg.norm(x)
    pose = np.eye(4)
    pose[:3, :3] = np.column_stack([x, np.cross(z, x), z])
    return pose


def draw(scene: Any, size: tuple[int, int]) -> UInt8[np.ndarray, "h w 4"]:
    """The lit colours of a scene, with antialiased edges: RGB times coverage, and coverage.

    Args:
        scene: from `build_scene`.
        size: (height, width) in pixels.

    Raises:
        NoRendererError: without EGL.
    """
    return draw_with_depth(scene, size)[0]


def draw_with_depth(
    scene: Any, size: tuple[int, int], *, flat: bool = False
) -> tuple[UInt8[np.ndarray, "h w 4"], Float32[np.ndarray, "h w"]]:
    """Colours as `draw` gives them (or, flat, the vertex colours without light), and a depth per pixel in metres."""
    flags = _pyrender().RenderFlags
    with _LOCK:
        chosen = flags.RGBA | flags.SKIP_CULL_FACES | (flags.FLAT if flat else flags.NONE)
        return _renderer(*size, os.getpid()).render(scene, flags=chosen)


def draw_depth(scene: Any, size: tuple[int, int]) -> Float32[np.ndarray, "h w"]:
    """Metres along the optical axis at pixel centres, 0 where nothing is; arguments and errors as `draw`.

    pyrender samples four places in a pixel and hands back the depth of one of them; only its segmentation pass is
    drawn at the centre, and that one drops faces seen from behind.
    """
    flags = _pyrender().RenderFlags
    with _LOCK:
        nodes = {node: 255 for node in scene.mesh_nodes}
        return _renderer(*size, os.getpid()).render(scene, flags.SEG, nodes)[1]


def overlay(
    photo: UInt8[np.ndarray, "h w 3"],
    meshes: Sequence[Float[np.ndarray, "v 3"]] | Float[np.ndarray, "n v 3"],
    faces: Int[np.ndarray, "f 3"],
    focal_length: float,
    principal_point: Float[np.ndarray, "2"] | tuple[float, float] | None = None,
    *,
    side_view: bool = True,
    opacity: float = 0.9,
    color: tuple[float, float, float] = SKY_BLUE,
) -> UInt8[np.ndarray, "h w_all 3"]:
    """Hand meshes drawn over their photo, and beside it the same hands seen from the side.

    Args:
        photo: RGB.
        meshes: one array of vertices per hand, metres, OpenCV camera frame of the photo; none is allowed.
        faces: vertex indices, the same for all hands; mirrored hands need no other faces.
        focal_length: pixels of the photo.
        principal_point: pixels of the photo; its centre when absent.
        side_view: add one square panel per hand on the right, turned by 90 degrees.
        opacity: 0 (photo only) to 1 (mesh hides the photo).
        color: RGB in [0, 1].

    Returns:
        Height as the photo; width of the photo plus one square per hand.
    """
    height, width = photo.shape[:2]
    center = (width / 2, height / 2) if principal_point is None else principal_point
    picture = photo
    if len(meshes):
        layer = draw(build_scene(meshes, faces, focal_length, center, color), (height, width)).astype(np.float32)
        blended = photo * (1 - opacity * layer[..., 3:] / 255) + opacity * layer[..., :3]
        picture = np.clip(np.rint(blended), 0, 255).astype(np.uint8)
    panels = [portrait(mesh, faces, height, turn=np.pi / 2, color=color) for mesh in meshes] if side_view else []
    return np.concatenate([picture, *panels], axis=1)


def portrait(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    size: int = 256,
    *,
    turn: float = 0.0,
    color: tuple[float, float, float] = SKIN,
    background: tuple[int, int, int] = (255, 255, 255),
) -> UInt8[np.ndarray, "size size 3"]:
    """One mesh that fills a square picture, wherever it stands.

    Args:
        vertices: metres, axes as a camera's (y down, seen along +z).
        faces: vertex indices.
        size: pixels.
        turn: radians about the vertical axis through the middle of the mesh.
        color: RGB in [0, 1] of the mesh.
        background: RGB.
    """
    return turntable(vertices, faces, 1, size, start=turn, color=color, background=background)[0]


def turntable(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    frames: int = 24,
    size: int = 256,
    *,
    start: float = 0.0,
    color: tuple[float, float, float] = SKIN,
    background: tuple[int, int, int] = (255, 255, 255),
) -> UInt8[np.ndarray, "frames size size 3"]:
    """A mesh turned once about its vertical axis, framed alike in all pictures; arguments as `portrait`."""
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    centered = vertices - middle
    radius = float(np.linalg.norm(centered, axis=1).max())
    distance = 6 * radius
    focal_length = 0.47 * size * np.sqrt(distance**2 - radius**2) / radius
    pictures = []
    for angle in start + np.arange(frames) * (2 * np.pi / frames):
        cosine, sine = np.cos(angle), np.sin(angle)
        rotation = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
        turned = centered @ rotation.T + (0, 0, distance)
        layer = draw(build_scene([turned], faces, focal_length, (size / 2, size / 2), color), (size, size))
        alpha = layer[..., 3:].astype(np.float32) / 255
        pictures.append(np.clip(layer[..., :3] + (1 - alpha) * background, 0, 255).round().astype(np.uint8))
    return np.stack(pictures)
