"""Everything solid in a scene as one mesh: hand, forearm, sleeve, occluder, with what shading needs per vertex."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float32, Int32, UInt8
from scipy.spatial.transform import Rotation

from recon.hand.model import HandModel, HandParams
from synth.render.compiled import compiled
from synth.render.rasterizer import vertex_normals
from synth.world.looks import Forearm, Occluder
from synth.world.scene import Scene

HAND, ARM, CLOTH, BAR = 0, 1, 2, 3
"""Materials of faces."""
_RING_DISTANCES = np.array([0.006, 0.016, 0.030, 0.050, 0.080, 0.120, 0.180, 0.260, 0.340])


@dataclass(frozen=True)
class Surface:
    """A mesh in the camera frame; the hand's 778 vertices and 1538 faces come first."""

    vertices: Float32[np.ndarray, "v 3"]
    """Metres, OpenCV camera frame of the picture."""
    normals: Float32[np.ndarray, "v 3"]
    """Unit, outward."""
    faces: Int32[np.ndarray, "f 3"]
    materials: UInt8[np.ndarray, " f"]
    """HAND, ARM, CLOTH or BAR."""
    parts: UInt8[np.ndarray, " f"]
    """MANO joint of a hand face; 0 elsewhere."""
    rest: Float32[np.ndarray, "v 3"]
    """Position on the hand at rest, where the texture lives, metres."""
    palmar: Float32[np.ndarray, " v"]
    """1 where the skin faces the palm's side at rest, -1 on the back."""
    openness: Float32[np.ndarray, " v"]
    """Share of the sky that the hand itself leaves open, 0..1."""
    joints: Float32[np.ndarray, "21 3"]
    """The hand's joints in the camera frame, metres."""


@dataclass(frozen=True)
class RestHand:
    """The default hand's constants for texturing."""

    model: HandModel
    vertices: Float32[np.ndarray, "778 3"]
    faces: Int32[np.ndarray, "1538 3"]
    joints: Float32[np.ndarray, "21 3"]
    palmar: Float32[np.ndarray, " 778"]
    parts: UInt8[np.ndarray, " 1538"]
    loop: Int32[np.ndarray, " w"]
    nails: Float32[np.ndarray, "5 5 3"]
    """Thumb to little: centre, axes across, along and out of the nail, half sizes; metres at rest."""


@cache
def rest_hand() -> RestHand:
    """The default hand at rest."""
    model = HandModel.default()
    mesh = model(HandParams.from_rotvec(torch.zeros(1, 10), torch.zeros(1, 3), torch.zeros(1, 45)))
    vertices, joints = mesh.vertices[0].numpy(), mesh.joints[0].numpy()
    faces = model.faces.numpy().astype(np.int32)
    extras = model.extras
    palmar = (extras["palmness"] - 0.5) * 2
    wrist = model.layer.J_regressor[0].numpy() @ model.layer.v_template.numpy()
    nails = np.concatenate(
        [(extras["nail_centres"] - wrist)[:, None], extras["nail_axes"], extras["nail_half_sizes"][:, None]], axis=1
    )
    part = model.part_of_vertex.numpy()
    three = np.sort(part[faces], axis=1)
    return RestHand(
        model, vertices, faces, joints, palmar.astype(np.float32), three[:, 1].astype(np.uint8),
        model.wrist_loop.numpy().astype(np.int32), nails.astype(np.float32),
    )  # fmt: skip


def build_surface(scene: Scene) -> Surface:
    """The solid part of a scene, a left hand already mirrored into its own picture."""
    rest = rest_hand()
    with torch.no_grad():
        mesh = rest.model(scene.params)
    turn = scene.params.global_orient[0, 0].numpy().astype(np.float64)
    local = mesh.vertices[0].numpy().astype(np.float64) @ turn  # back to the hand's own frame
    arm = _forearm(local, rest, scene.forearm)
    vertices, faces = [local, arm[0]], [rest.faces, arm[1]]
    materials = [np.full(len(rest.faces), HAND), np.full(len(arm[1]), ARM)]
    if scene.forearm.sleeve_start >= 0:
        cloth_vertices, cloth_faces = _sleeve(arm[0], len(rest.loop), scene.forearm)
        faces.append(cloth_faces + len(local) + len(arm[0]))
        vertices.append(cloth_vertices)
        materials.append(np.full(len(cloth_faces), CLOTH))
    mirror = np.array([1.0 if scene.is_right else -1.0, 1.0, 1.0])
    merged = np.concatenate(vertices)
    placed = (merged @ turn.T) * mirror + scene.cam_t
    placed[:, 2] = np.maximum(placed[:, 2], 0.08)
    rest_positions = np.concatenate([rest.vertices, *(v.astype(np.float32) for v in vertices[1:])])
    if scene.occluder is not None:
        bar_vertices, bar_faces = _bar(scene.occluder, scene.cam_t[2])
        faces.append(bar_faces + len(placed))
        placed = np.concatenate([placed, bar_vertices])
        rest_positions = np.concatenate([rest_positions, bar_vertices.astype(np.float32)])
        materials.append(np.full(len(bar_faces), BAR))
    all_faces = np.concatenate(faces).astype(np.int32)
    positions = np.ascontiguousarray(placed, dtype=np.float32)
    normals = vertex_normals(positions, all_faces)
    if not scene.is_right:
        normals[: len(merged)] *= -1
    hand = len(rest.vertices)
    palmar = np.full(len(positions), -0.6, np.float32)
    palmar[:hand] = rest.palmar
    openness = np.ones(len(positions), np.float32)
    openness[:hand] = _openness(positions[:hand], normals[:hand], rest.faces)
    parts = np.zeros(len(all_faces), np.uint8)
    parts[: len(rest.faces)] = rest.parts
    joints = (mesh.joints[0].numpy().astype(np.float64) * mirror + scene.cam_t).astype(np.float32)
    return Surface(
        positions, normals, all_faces, np.concatenate(materials).astype(np.uint8), parts,
        np.ascontiguousarray(rest_positions, dtype=np.float32), palmar, openness, joints,
    )  # fmt: skip


def _forearm(local: np.ndarray, rest: RestHand, forearm: Forearm) -> tuple[np.ndarray, np.ndarray]:
    """Rings behind the wrist's edge, bent smoothly; faces refer to the hand's and the rings' vertices together."""
    loop = local[rest.loop]
    centre = loop.mean(0)
    offsets = loop - centre
    rings = []
    for distance in _RING_DISTANCES:
        share = min(distance / 0.09, 1.0)
        bend = Rotation.from_euler("ZY", share * forearm.bend).as_matrix()
        half = Rotation.from_euler("ZY", 0.5 * share * forearm.bend).as_matrix()
        swell = 1.0 + 0.34 * np.clip((distance - 0.03) / 0.22, 0, 1)
        flat = offsets * np.array([1 - min(distance / 0.012, 1), 1.0, 1.0])
        rings.append(centre + half @ np.array([distance, 0, 0]) + (flat * swell) @ bend.T)
    count = len(rest.loop)
    ids = [rest.loop] + [np.arange(count) + len(local) + k * count for k in range(len(rings))]
    faces = np.concatenate([_strip(a, b) for a, b in zip(ids[:-1], ids[1:], strict=True)])
    vertices = np.concatenate(rings)
    if _points_inward(np.concatenate([local, vertices]), faces, centre):
        faces = faces[:, ::-1]
    return vertices, faces


def _sleeve(arm: np.ndarray, count: int, forearm: Forearm) -> tuple[np.ndarray, np.ndarray]:
    """A cuff with a thick edge and a tube over the arm's rings from `sleeve_start` on."""
    rings = arm.reshape(-1, count, 3)
    centres = rings.mean(1)
    starts = np.array([forearm.sleeve_start, forearm.sleeve_start + 0.004])
    distances = np.concatenate([starts, starts[1:] + 0.02, _RING_DISTANCES[starts[1] + 0.03 < _RING_DISTANCES]])
    out = []
    for k, distance in enumerate(distances):
        upper = int(np.clip(np.searchsorted(_RING_DISTANCES, distance), 1, len(rings) - 1))
        t = (distance - _RING_DISTANCES[upper - 1]) / (_RING_DISTANCES[upper] - _RING_DISTANCES[upper - 1])
        ring = rings[upper - 1] + t * (rings[upper] - rings[upper - 1])
        centre = centres[upper - 1] + t * (centres[upper] - centres[upper - 1])
        looseness = forearm.looseness * (1.0 + 0.15 * min(distance / 0.2, 1))
        if k == 0:
            out.append(centre + (ring - centre) * 1.01 + (centres[-1] - centres[0]) * 0.02)
        fold = 1 + 0.025 * np.sin(np.arange(count) * 2 * np.pi * 3 / count + distance * 90)
        out.append(centre + (ring - centre) * (looseness * fold[:, None] * (0.97 if k == 0 else 1.0)))
    ids = [np.arange(count) + k * count for k in range(len(out))]
    vertices = np.concatenate(out)
    faces = np.concatenate([_strip(a, b) for a, b in zip(ids[:-1], ids[1:], strict=True)])
    if _points_inward(vertices, faces[len(ids[0]) * 4 :], centres[len(centres) // 2]):
        faces = faces[:, ::-1]
    return vertices, faces


def _bar(bar: Occluder, distance: float) -> tuple[np.ndarray, np.ndarray]:
    """A round bar in the camera frame."""
    start, end = bar.start * distance, bar.end * distance
    along = (end - start) / np.linalg.norm(end - start)
    side = np.cross(along, [0.0, 0.0, 1.0])
    side /= np.linalg.norm(side)
    angles = np.arange(12) * 2 * np.pi / 12
    ring = np.cos(angles)[:, None] * side + np.sin(angles)[:, None] * np.cross(side, along)
    vertices = np.concatenate([start + bar.radius * ring, end + bar.radius * ring])
    faces = _strip(np.arange(12), np.arange(12) + 12)
    return vertices, faces[:, ::-1] if _points_inward(vertices, faces, (start + end) / 2) else faces


def _strip(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Triangles between two closed rings."""
    a, b, c, d = first, np.roll(first, -1), second, np.roll(second, -1)
    return np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])


def _points_inward(vertices: np.ndarray, faces: np.ndarray, centre: np.ndarray) -> bool:
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    axis = vertices.max(0) - vertices.min(0)
    outward = corners.mean(1) - centre
    main = np.zeros(3)
    main[int(np.argmax(axis))] = 1.0
    outward -= np.outer(outward @ main, main)
    return float((normals * outward).sum()) < 0


@compiled
def _openness(vertices, normals, faces):
    """Disk-to-disk ambient occlusion (Bunnell 2005) of a mesh by itself, per vertex, 1 where nothing is near."""
    count = len(vertices)
    areas = np.zeros(count, np.float32)
    for index in range(len(faces)):
        a, b, c = faces[index, 0], faces[index, 1], faces[index, 2]
        ux, uy, uz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
        vx, vy, vz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        third = np.sqrt(nx * nx + ny * ny + nz * nz) / 6
        areas[a] += third
        areas[b] += third
        areas[c] += third
    out = np.ones(count, np.float32)
    for i in range(count):
        hidden = 0.0
        for j in range(count):
            dx, dy, dz = (
                vertices[j, 0] - vertices[i, 0],
                vertices[j, 1] - vertices[i, 1],
                vertices[j, 2] - vertices[i, 2],
            )
            squared = dx * dx + dy * dy + dz * dz
            if squared < 1e-7 or squared > 0.0036:
                continue
            here = normals[i, 0] * dx + normals[i, 1] * dy + normals[i, 2] * dz
            if here <= 0:
                continue
            there = -(normals[j, 0] * dx + normals[j, 1] * dy + normals[j, 2] * dz)
            if there <= 0:
                continue
            hidden += areas[j] * here * there / (squared * (np.pi * squared + areas[j]))
        out[i] = 1 / (1 + 1.6 * hidden)
    return out
