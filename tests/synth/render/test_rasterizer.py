"""Rasteriser: analytic depth, exact coverage, barycentrics that reproduce points, clipping, determinism."""

import numpy as np
import pytest
import trimesh

from synth.render.rasterizer import control_maps, rasterize


def sphere(center=(0.0, 0.0, 0.6), radius=0.08, subdivisions=3):
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return (mesh.vertices + np.array(center)).astype(np.float32), mesh.faces.astype(np.int32)


def pixel_rays(height, width, focal_length, center):
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return np.stack(
        [(columns - center[0]) / focal_length, (rows - center[1]) / focal_length, np.ones_like(rows)], axis=-1
    )


def test_a_slanted_plane_has_the_depth_of_its_equation():
    normal, offset = np.array([0.3, -0.2, 1.0]), 0.8  # normal . point = offset
    corners = np.array([[-2, -2], [2, -2], [2, 2], [-2, 2]], dtype=float)
    z = (offset - corners @ normal[:2]) / normal[2]
    vertices = np.column_stack([corners, z]).astype(np.float32)
    fragments = rasterize(vertices, np.array([[0, 1, 2], [0, 2, 3]]), 300.0, (60.0, 50.0), (96, 128))
    depth = offset / (pixel_rays(96, 128, 300.0, (60.0, 50.0)) @ normal)
    assert fragments.depth.shape == (96, 128)
    np.testing.assert_allclose(fragments.depth, depth, atol=1e-6)


def test_a_sphere_has_analytic_depth_normals_and_outline():
    vertices, faces = sphere((0.02, -0.01, 0.6), 0.08, subdivisions=5)
    maps = control_maps(vertices, faces, np.zeros(len(vertices), int), 700.0, None, 256)
    rays, center = pixel_rays(256, 256, 700.0, (128, 128)), np.array([0.02, -0.01, 0.6])
    a, b, c = (rays**2).sum(-1), rays @ center, center @ center - 0.08**2
    discriminant = b**2 - a * c
    expected = np.where(discriminant > 0, (b - np.sqrt(np.maximum(discriminant, 0))) / a, 0)
    assert np.mean(maps.mask != (discriminant > 0)) < 1e-3
    inner = discriminant > 2e-4
    np.testing.assert_allclose(maps.depth[inner], expected[inner], atol=2e-4)
    normals = (rays * expected[..., None] - center) / 0.08
    assert np.abs(maps.normals[inner] - normals[inner]).max() < 0.02
    np.testing.assert_allclose(np.linalg.norm(maps.normals[maps.mask], axis=-1), 1, atol=1e-5)


def test_shared_edges_are_drawn_once():
    # A lattice whose corners and edges run through pixel centres, then shifted by half pixels.
    random = np.random.default_rng(0)
    for trial in range(20):
        grid = np.stack(np.meshgrid(np.arange(9.0), np.arange(9.0)), -1).reshape(-1, 2) * 4 + 0.5
        if trial:
            inner = (grid > 1).all(1) & (grid < 32).all(1)
            grid[inner] += random.integers(-1, 2, (inner.sum(), 2)) / 2
        vertices = np.column_stack([grid, np.ones(81)]).astype(np.float32)
        quads = [(9 * r + c, 9 * r + c + 1, 9 * r + c + 10, 9 * r + c + 9) for r in range(8) for c in range(8)]
        faces = np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, d, c) if trial % 2 else (a, c, d))])
        count = sum((rasterize(vertices, face[None], 1.0, (0.0, 0.0), 40).face_ids >= 0).astype(int) for face in faces)
        assert count[:32, :32].min() == 1 and count[:32, :32].max() == 1
        assert count[32:].max() == 0 and count[:, 32:].max() == 0


def test_weights_sum_to_one_and_give_the_point_on_the_ray_back():
    vertices, faces = sphere()
    fragments = rasterize(vertices, faces, 600.0, (120.0, 130.0), 256)
    seen = fragments.face_ids >= 0
    assert seen.any() and not seen.all()
    np.testing.assert_allclose(fragments.barycentric[seen].sum(-1), 1, atol=1e-6)
    assert fragments.barycentric[seen].min() >= 0 and not fragments.barycentric[~seen].any()
    points = np.einsum("nij,ni->nj", vertices[faces[fragments.face_ids[seen]]], fragments.barycentric[seen])
    np.testing.assert_allclose(points[:, 2], fragments.depth[seen], atol=1e-6)
    rows, columns = np.nonzero(seen)
    pixels = points[:, :2] / points[:, 2:] * 600 + [120, 130]
    assert np.percentile(np.abs(pixels - np.column_stack([columns, rows]) - 0.5), 99.9) < 1e-2


def test_the_nearer_surface_wins_in_any_order():
    near, faces = sphere((0, 0, 0.5), 0.03)
    far, _ = sphere((0, 0, 0.8), 0.1)
    parts = np.repeat([4, 9], len(near))
    one = control_maps(np.concatenate([near, far]), np.concatenate([faces, faces + len(near)]), parts, 400.0)
    two = control_maps(np.concatenate([near, far]), np.concatenate([faces + len(near), faces]), parts, 400.0)
    assert one.part_ids[128, 128] == 5 and set(np.unique(one.part_ids)) == {0, 5, 10}
    for name in ("depth", "normals", "part_ids", "mask"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_the_mirrored_mesh_gives_the_mirrored_picture():
    vertices, faces = sphere((0.03, 0.01, 0.6))
    vertices += np.random.default_rng(1).normal(0, 0.001, vertices.shape).astype(np.float32)
    parts = np.arange(len(vertices)) % 16
    right = control_maps(vertices, faces, parts, 600.0)
    left = control_maps(vertices * np.float32([-1, 1, 1]), faces, parts, 600.0)
    np.testing.assert_array_equal(left.mask, right.mask[:, ::-1])
    np.testing.assert_allclose(left.depth, right.depth[:, ::-1], atol=1e-5)
    np.testing.assert_allclose(left.normals * [-1, 1, 1], right.normals[:, ::-1], atol=1e-3)
    assert np.mean(left.part_ids != right.part_ids[:, ::-1]) < 1e-3


def test_faces_that_cross_the_camera_plane_are_cut_not_lost():
    # A floor 0.1 m below the camera that runs from behind it to 10 m in front.
    vertices = np.array([[-50, 0.1, -10], [50, 0.1, -10], [50, 0.1, 10], [-50, 0.1, 10]], dtype=np.float32)
    fragments = rasterize(vertices, np.array([[0, 1, 2], [0, 2, 3]]), 100.0, None, 64)
    rows = np.arange(64) + 0.5
    expected = np.where(rows - 32 > 1, 10 / np.maximum(rows - 32, 1e-9), 0)
    np.testing.assert_allclose(fragments.depth, np.repeat(expected[:, None], 64, 1), rtol=1e-4)


def test_everything_behind_or_beside_the_camera_is_not_drawn():
    vertices, faces = sphere()
    assert not rasterize(vertices - np.float32([0, 0, 2]), faces, 600.0).depth.any()
    assert not rasterize(vertices + np.float32([5, 0, 0]), faces, 600.0).depth.any()


def test_two_runs_are_the_same_bytes():
    vertices, faces = sphere()
    first, second = (rasterize(vertices, faces, 600.0) for _ in range(2))
    assert first.barycentric.tobytes() == second.barycentric.tobytes()
    assert first.depth.tobytes() == second.depth.tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"focal_length": 0.0}, "focal length is 0.0"),
        ({"size": 0}, "0 x 0"),
        ({"faces": np.array([[0, 1, 999999]])}, "999999"),
        ({"vertices_cam": np.full((3, 3), np.nan)}, "not finite"),
    ],
)
def test_wrong_input_is_one_clear_sentence(change, message):
    vertices, faces = sphere()
    with pytest.raises(ValueError, match=message):
        rasterize(**({"vertices_cam": vertices, "faces": faces, "focal_length": 600.0} | change))
