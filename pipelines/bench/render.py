"""`handloom bench render`: the rasteriser of control maps beside pyrender, on the same hands in the same run.

Both draw depth, normals, part ids and mask; pyrender needs two passes for that (normals as colours with depth, then
part colours), and gets its scenes ready-made, so that only drawing and reading back is timed.
"""

import logging
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from rich.console import Console
from rich.table import Table

from recon.files import write_json_atomic
from recon.hand.model import HandModel, HandParams
from synth.render import shaded
from synth.render.control_images import mesh_control_image, pose_control_image
from synth.render.rasterizer import control_maps

FILL = 0.85  # share of the picture's side that the larger side of a hand's box takes

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RenderFigures:
    """Frames per second: medians over a round's hands, then over rounds in which all ways of drawing took turns."""

    size: int
    """Pixels of the square maps; the control images are half as large."""
    vertices: int
    covered: float
    """Share of the pixels that show the hand, mean over the hands."""
    rasterizer: float
    """Depth, normals, part ids and mask, no GL, one thread."""
    pyrender: float | None
    """The same maps; none without EGL."""
    pyrender_depth: float | None
    """Depth alone."""
    ratio: float | None
    """Median over rounds of rasteriser to pyrender, same maps."""
    cpu_ratio: float | None
    """The same by processor time of all threads, which other work on the machine hardly changes."""
    mesh_image: float
    """Mesh control images."""
    pose_image: float
    """Pose control images."""
    machine: str
    """Processor and number of cores."""


def bench_hands(
    count: int, size: int, seed: int = 0
) -> tuple[
    Float[np.ndarray, "n v 3"], Int[np.ndarray, "f 3"], Int[np.ndarray, "v"], float, Float[np.ndarray, "n 21 2"]
]:
    """Hands of random shape, bend and view, each of which fills the picture.

    Args:
        count: hands.
        size: pixels of the square picture.
        seed: of the random choice.

    Returns:
        Vertices in the camera frame (metres), faces, parts, focal length and joints in pixels.
    """
    generator = torch.Generator().manual_seed(seed)
    model = HandModel.default()
    pose = torch.zeros(count, 15, 3)
    pose[..., 2] = torch.rand(count, 1, generator=generator) * torch.rand(count, 15, generator=generator)
    orient = torch.randn(count, 3, generator=generator)
    with torch.no_grad():
        mesh = model(HandParams.from_rotvec(torch.randn(count, 10, generator=generator), orient, pose.flatten(1)))
    extent = mesh.vertices.amax(dim=1) - mesh.vertices.amin(dim=1)
    middle = (mesh.vertices.amax(dim=1) + mesh.vertices.amin(dim=1)) / 2
    focal_length = 3.0 * size
    offset = -middle
    offset[:, 2] += extent[:, :2].amax(dim=1) * focal_length / (FILL * size)
    mesh = mesh.translated(offset)
    joints = mesh.joints.numpy()
    pixels = joints[..., :2] / joints[..., 2:] * focal_length + size / 2
    return mesh.vertices.numpy(), model.faces.numpy(), model.part_of_vertex.numpy(), focal_length, pixels


def measure_render(size: int = 256, hands: int = 16, rounds: int = 7) -> RenderFigures:
    """Times both renderers in turns, so that other work on the machine weighs on both alike.

    Args:
        size: pixels of the square maps.
        hands: different hands, drawn once a round each.
        rounds: of which medians are taken; the first one, which compiles and warms up, is not counted.
    """
    meshes, faces, parts, focal_length, keypoints = bench_hands(hands, size)
    half = size // 2
    ways: dict[str, Callable[[int], object]] = {
        "rasterizer": lambda i: control_maps(meshes[i], faces, parts, focal_length, None, size),
        "mesh_image": lambda i: mesh_control_image(meshes[i], faces, focal_length / 2, None, half),
        "pose_image": lambda i: pose_control_image(keypoints[i] / 2, None, half),
    }
    try:
        ways |= _pyrender_ways(meshes, faces, parts, focal_length, size)
    except shaded.NoRendererError as error:
        logger.warning("pyrender is left out: %s", error)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in ways}
    for count in range(rounds + 1):
        for name, way in ways.items():
            seconds, cpu_start = [], time.process_time()
            for index in range(hands):
                start = time.perf_counter()
                way(index)
                seconds.append(time.perf_counter() - start)
            if count:
                rates[name].append(1 / statistics.median(seconds))
                cpu_seconds[name].append(time.process_time() - cpu_start)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratio = cpu_ratio = None
    if "pyrender" in ways:
        ratio = statistics.median(np.divide(rates["rasterizer"], rates["pyrender"]))
        cpu_ratio = statistics.median(np.divide(cpu_seconds["pyrender"], cpu_seconds["rasterizer"]))
    masks = [control_maps(mesh, faces, parts, focal_length, None, size).mask for mesh in meshes]
    return RenderFigures(
        size=size,
        vertices=meshes.shape[1],
        covered=float(np.mean(masks)),
        rasterizer=medians["rasterizer"],
        pyrender=medians.get("pyrender"),
        pyrender_depth=medians.get("pyrender_depth"),
        ratio=None if ratio is None else float(ratio),
        cpu_ratio=None if cpu_ratio is None else float(cpu_ratio),
        mesh_image=medians["mesh_image"],
        pose_image=medians["pose_image"],
        machine=f"{platform.machine()}, {os.cpu_count()} cores",
    )


def _pyrender_ways(
    meshes: Float[np.ndarray, "n v 3"],
    faces: Int[np.ndarray, "f 3"],
    parts: Int[np.ndarray, "v"],
    focal_length: float,
    size: int,
) -> dict[str, Callable[[int], object]]:
    """Pyrender's two ways: all maps by two flat passes over ready scenes, and depth alone."""
    center = (size / 2, size / 2)
    face_parts = np.repeat((parts[faces[:, 0]] + 1) * np.float32(1 / 16), 3)[:, None].repeat(3, axis=1)
    unshared = np.arange(3 * len(faces)).reshape(-1, 3)
    scenes, part_scenes = [], []
    for mesh in meshes:
        normals = np.asarray(shaded.vertex_normals(mesh, faces.astype(np.int32)) * 0.5 + 0.5)
        scenes.append(shaded.build_scene([mesh], faces, focal_length, center, vertex_colors=normals))
        part_scenes.append(
            shaded.build_scene([mesh[faces.ravel()]], unshared, focal_length, center, vertex_colors=face_parts)
        )

    def all_maps(index: int) -> object:
        normals, depth = shaded.draw_with_depth(scenes[index], (size, size), flat=True)
        part_colors, _ = shaded.draw_with_depth(part_scenes[index], (size, size), flat=True)
        return (
            depth,
            normals[..., :3] * np.float32(2 / 255) - 1,
            np.rint(part_colors[..., 0] * np.float32(16 / 255)).astype(np.uint8),
            depth > 0,
        )

    all_maps(0)
    return {"pyrender": all_maps, "pyrender_depth": lambda index: shaded.draw_depth(scenes[index], (size, size))}


def render(size: int = 256, hands: int = 16, rounds: int = 7, out: Path | None = None) -> None:
    """Compare the rasteriser's speed with pyrender's on the same maps.

    Args:
        size: pixels of the square maps.
        hands: different hands per round.
        rounds: measured rounds; medians are shown.
        out: JSON file for the figures.

    Raises:
        ValueError: if a number is below 1.
    """
    for name, value, least in (("size", size, 2), ("hands", hands, 1), ("rounds", rounds, 1)):
        if value < least:
            raise ValueError(f"--{name} is {value}; it must be at least {least}.")
    figures = measure_render(size, hands, rounds)
    table = Table(title=f"Frames/s at {size} x {size}, {figures.vertices} vertices, {figures.covered:.0%} covered")
    table.add_column("what")
    table.add_column("rasteriser", justify="right")
    table.add_column("pyrender", justify="right")
    table.add_column("ratio", justify="right")

    def cell(value: float | None, pattern: str = "{:,.0f}") -> str:
        return "-" if value is None else pattern.format(value)

    table.add_row(
        "depth, normals, part ids, mask",
        cell(figures.rasterizer),
        cell(figures.pyrender),
        cell(figures.ratio, "{:.1f}"),
    )
    table.add_row("the same by processor time", "", "", cell(figures.cpu_ratio, "{:.1f}"))
    table.add_row("depth alone", "", cell(figures.pyrender_depth), "")
    table.add_row(f"mesh control image, {size // 2} x {size // 2}", cell(figures.mesh_image), "", "")
    table.add_row(f"pose control image, {size // 2} x {size // 2}", cell(figures.pose_image), "", "")
    Console().print(table)
    if out is not None:
        write_json_atomic(out, asdict(figures))
