"""pyrender as the oracle of the rasteriser, and the shaded pictures made with it."""

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion

from recon.hand.model import HandModel, HandParams
from synth.render import shaded
from synth.render.rasterizer import control_maps


@pytest.fixture(scope="module", autouse=True)
def egl():
    try:
        shaded.draw_depth(shaded.build_scene([np.eye(3)], np.array([[0, 1, 2]]), 10.0, (4.0, 4.0)), (8, 8))
    except shaded.NoRendererError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def hand():
    model = HandModel.default()
    generator = torch.Generator().manual_seed(3)
    pose = torch.zeros(3, 15, 3)
    pose[1, :, 2] = 1.2
    pose[2] = torch.randn(15, 3, generator=generator) * 0.3
    orient = torch.tensor([[1.2, 0.3, 0.5], [-1.5, 0.2, 1.4], [0.1, 2.0, 0.3]])
    meshes = model(HandParams.from_rotvec(torch.zeros(3, 10), orient, pose.flatten(1)))
    vertices = meshes.translated(torch.tensor([[0.04, 0.02, 0.6], [0.0, 0.05, 0.45], [0.02, 0.0, 0.5]])).vertices
    return vertices.numpy(), model.faces.numpy(), model.part_of_vertex.numpy()


def test_depth_is_pyrenders(hand):
    meshes, faces, parts = hand
    for vertices in (*meshes, meshes[0] * np.float32([-1, 1, 1])):
        maps = control_maps(vertices, faces, parts, 600.0, (120.0, 130.0), (256, 256))
        scene = shaded.build_scene([vertices], faces, 600.0, (120.0, 130.0), both_windings=True)
        oracle = shaded.draw_depth(scene, (256, 256))
        inner = binary_erosion(maps.mask, np.ones((3, 3)))
        assert inner.sum() > 5000
        assert np.mean(np.abs(maps.depth - oracle)[inner] < 0.0005) >= 0.995
        assert np.mean(maps.mask != (oracle > 0)) < 1e-3


def test_an_overlay_changes_the_hand_and_nothing_else(hand):
    meshes, faces, parts = hand
    photo = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    mask = control_maps(meshes[0], faces, parts, 250.0, None, (120, 160)).mask
    picture = shaded.overlay(photo, meshes[:1], faces, 250.0)
    assert picture.shape == (120, 160 + 120, 3)
    far = ~binary_erosion(~mask, np.ones((3, 3)))
    np.testing.assert_array_equal(picture[:, :160][~far], photo[~far])
    assert np.mean(picture[:, :160][mask].astype(int) - photo[mask]) > 5
    np.testing.assert_array_equal(shaded.overlay(photo, [], faces, 250.0), photo)


def test_a_turntable_comes_back_to_its_start_and_fits_the_frame(hand):
    meshes, faces, _ = hand
    frames = shaded.turntable(meshes[0], faces, 4, 64)
    again = shaded.portrait(meshes[0], faces, 64, turn=2 * np.pi)
    assert frames.shape == (4, 64, 64, 3)
    assert np.abs(again.astype(int) - frames[0]).max() <= 2
    edge = np.concatenate([frames[:, 0], frames[:, -1], frames[:, :, 0], frames[:, :, -1]])
    assert (edge == 255).all() and (frames < 250).any((1, 2, 3)).all()


def test_a_mirrored_hand_is_lit_from_outside(hand):
    meshes, faces, _ = hand
    mirrored = meshes[0] * np.float32([-1, 1, 1])
    outside = [shaded.outward_faces(vertices, faces) for vertices in (meshes[0], mirrored)]
    np.testing.assert_array_equal(outside[0], outside[1][:, ::-1])
    brightness = [shaded.portrait(vertices, faces, 96).mean() for vertices in (meshes[0], mirrored)]
    assert abs(brightness[0] - brightness[1]) < 8
