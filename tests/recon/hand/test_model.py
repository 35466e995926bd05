"""The hand model's algebra: batches, mirrors, rotations, gradients, precision, fingerprints."""

from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from recon.files import FileError
from recon.hand.fields import FIELDS, npz_bytes
from recon.hand.model import HandMismatchError, HandModel, HandParams, boundary_loop


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return HandModel.default()


def _random_params(batch: int, dtype: torch.dtype = torch.float32) -> HandParams:
    generator = torch.Generator().manual_seed(7)
    draw = torch.randn(batch, 58, generator=generator, dtype=torch.float64).to(dtype)
    return HandParams.from_rotvec(draw[:, :10], draw[:, 10:13], draw[:, 13:] * 0.4)


def test_a_batch_equals_its_single_hands(hand: HandModel) -> None:
    params = _random_params(5)
    together = hand(params)
    for i in range(5):
        alone = hand(HandParams(params.betas[i : i + 1], params.global_orient[i : i + 1], params.hand_pose[i : i + 1]))
        torch.testing.assert_close(together.vertices[i : i + 1], alone.vertices, atol=1e-6, rtol=0)
        torch.testing.assert_close(together.joints[i : i + 1], alone.joints, atol=1e-6, rtol=0)


def test_rotation_vectors_go_there_and_back() -> None:
    params = _random_params(3, torch.float64)
    again = HandParams.from_rotvec(params.betas, params.global_orient_rotvec, params.hand_pose_rotvec)
    torch.testing.assert_close(again.global_orient, params.global_orient)
    torch.testing.assert_close(again.hand_pose, params.hand_pose)


def test_mirroring_twice_is_the_identity_and_flips_rotation_vectors(hand: HandModel) -> None:
    params = _random_params(2, torch.float64)
    mirrored = params.mirrored()
    flip = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
    torch.testing.assert_close(mirrored.global_orient_rotvec, params.global_orient_rotvec * flip)
    torch.testing.assert_close(mirrored.mirrored().hand_pose, params.hand_pose, rtol=0, atol=0)
    mesh = hand(_random_params(2))
    torch.testing.assert_close(mesh.mirrored().mirrored().vertices, mesh.vertices, rtol=0, atol=0)
    assert not torch.equal(mesh.mirrored().joints, mesh.joints)


def test_wrist_is_the_origin_and_global_rotation_turns_the_whole_mesh(hand: HandModel) -> None:
    params = _random_params(4)
    still = hand(HandParams(params.betas, torch.eye(3).expand(4, 1, 3, 3), params.hand_pose))
    turned = hand(params)
    torch.testing.assert_close(turned.joints[:, 0], torch.zeros(4, 3))
    rotation = params.global_orient[:, 0]
    torch.testing.assert_close(turned.vertices, still.vertices @ rotation.mT, atol=1e-6, rtol=0)
    torch.testing.assert_close(turned.joints, still.joints @ rotation.mT, atol=1e-6, rtol=0)


def test_translation_moves_vertices_and_joints_alike(hand: HandModel) -> None:
    mesh = hand(_random_params(2))
    moved = mesh.translated(torch.tensor([[0.0, 0.1, 0.5], [0.2, 0.0, 0.7]]))
    torch.testing.assert_close(moved.joints[:, 0], torch.tensor([[0.0, 0.1, 0.5], [0.2, 0.0, 0.7]]))
    torch.testing.assert_close(moved.vertices - mesh.vertices, (moved.joints - mesh.joints)[:, :1].expand(-1, 778, -1))


def test_gradients_reach_every_parameter(hand: HandModel) -> None:
    torch.manual_seed(0)
    betas, orient, pose = torch.randn(1, 10), torch.randn(1, 3), torch.randn(1, 45) * 0.3
    leaves = [leaf.requires_grad_() for leaf in (betas, orient, pose)]
    hand(HandParams.from_rotvec(*leaves)).vertices.square().sum().backward()
    for leaf in leaves[:1] + leaves[2:]:
        assert leaf.grad is not None and (leaf.grad != 0).all()
    # turning the whole hand about its wrist changes no length, but a target elsewhere does
    leaves[1].grad = None
    (hand(HandParams.from_rotvec(*leaves)).vertices - 1).square().sum().backward()
    assert leaves[1].grad is not None and (leaves[1].grad != 0).all()


def test_double_precision_agrees_with_single() -> None:
    single, double = HandModel.default(), HandModel.default().double()
    a = single(_random_params(2)).vertices
    b = double(_random_params(2, torch.float64)).vertices
    assert b.dtype == torch.float64
    torch.testing.assert_close(a.double(), b, atol=2e-6, rtol=0)


def test_joints_follow_the_kinematic_chain(hand: HandModel) -> None:
    """Bending the index knuckle turns the index finger rigidly and leaves the other joints in place."""
    pose = torch.zeros(1, 45)
    flat = hand(HandParams.from_rotvec(torch.zeros(1, 10), torch.zeros(1, 3), pose)).joints[0]
    turn = torch.tensor([0.1, -0.2, 1.2])
    pose[0, :3] = turn
    bent = hand(HandParams.from_rotvec(torch.zeros(1, 10), torch.zeros(1, 3), pose)).joints[0]
    others = [i for i in range(21) if i not in (6, 7, 8)]
    torch.testing.assert_close(bent[others], flat[others], atol=1e-6, rtol=0)
    expected = (flat[6:8] - flat[5]) @ roma.rotvec_to_rotmat(turn).mT + flat[5]
    torch.testing.assert_close(bent[6:8], expected, atol=1e-6, rtol=0)


def test_fingerprint_follows_the_arrays_that_decide_a_mesh(hand: HandModel) -> None:
    assert HandModel.default().fingerprint == hand.fingerprint
    arrays = _arrays()
    arrays["posedirs"] = arrays["posedirs"] + 1e-4
    other = HandModel(arrays, "another hand")
    hand.check_fingerprint(hand.fingerprint, "the checkpoint")
    with pytest.raises(HandMismatchError, match=f"{other.fingerprint}.*{hand.fingerprint}"):
        hand.check_fingerprint(other.fingerprint, "the checkpoint")


def test_a_checkpoint_holds_nothing_of_the_hand(hand: HandModel) -> None:
    assert hand.state_dict() == {}
    assert list(hand.parameters()) == []


def test_from_mano_refuses_the_left_hand_and_takes_the_right(tmp_path: Path) -> None:
    arrays = _arrays()
    (tmp_path / "right.npz").write_bytes(npz_bytes(arrays))
    loaded = HandModel.from_mano(tmp_path / "right.npz")
    assert loaded.fingerprint == HandModel.default().fingerprint
    arrays["v_template"] = arrays["v_template"] * np.array([-1, 1, 1], dtype=np.float32)
    (tmp_path / "left.npz").write_bytes(npz_bytes(arrays))
    with pytest.raises(FileError, match="left hand"):
        HandModel.from_mano(tmp_path / "left.npz")


def test_boundary_loop_names_what_is_wrong() -> None:
    tetrahedron = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
    with pytest.raises(ValueError, match="no open edge"):
        boundary_loop(tetrahedron)
    np.testing.assert_array_equal(boundary_loop(tetrahedron[1:]), [0, 1, 2])
    with pytest.raises(ValueError, match="6 open edges"):
        boundary_loop(np.array([[0, 1, 2], [3, 4, 5]]))


def _arrays() -> dict[str, np.ndarray]:
    layer = HandModel.default().layer
    arrays = {
        "v_template": layer.v_template.numpy(),
        "shapedirs": layer.shapedirs.numpy(),
        "posedirs": layer.posedirs.numpy().T.reshape(778, 3, 135),
        "J_regressor": layer.J_regressor.numpy(),
        "weights": layer.lbs_weights.numpy(),
        "f": HandModel.default().faces.numpy(),
        "kintree_table": np.array([layer.parents.numpy(), range(16)]),
        "hands_components": np.eye(45),
        "hands_mean": np.zeros(45),
    }
    assert set(arrays) == set(FIELDS)
    return arrays
