"""The default hand looks like a hand: axes, tips, no self-crossing at rest, round joints when bent, visible shapes."""

import numpy as np
import pytest
import torch
from jaxtyping import Float

from recon.hand.default.skinning import dual_quaternion_skinning, joint_transforms, volume
from recon.hand.default.weights import bone_heat_weights
from recon.hand.fields import npz_bytes
from recon.hand.model import HandModel, HandParams
from recon.hand.skeleton import FINGERS, FINGERTIP_VERTICES, JOINT_NAMES, MANO_JOINT_NAMES


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return HandModel.default()


def _mesh(hand: HandModel, pose: np.ndarray | None = None, betas: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
    pose = np.zeros((15, 3)) if pose is None else pose
    betas = np.zeros(10) if betas is None else betas
    rotvec = torch.from_numpy(pose).float().reshape(1, 45)
    mesh = hand(HandParams.from_rotvec(torch.from_numpy(betas).float()[None], torch.zeros(1, 3), rotvec))
    return mesh.vertices[0].double().numpy(), mesh.joints[0].double().numpy()


def _bent(hand: HandModel, names: list[str], degrees: float = 90.0) -> np.ndarray:
    pose = np.zeros((15, 3))
    for name in names:
        joint = MANO_JOINT_NAMES.index(name)
        pose[joint - 1] = np.deg2rad(degrees) * hand.extras["joint_frames"][joint][:, 0]
    return pose


def _closed_volume(hand: HandModel, vertices: np.ndarray) -> float:
    """Volume with a lid on the wrist."""
    return volume(vertices - vertices[hand.wrist_loop.numpy()].mean(axis=0), hand.faces.numpy())


def _crossings(vertices: Float[np.ndarray, "v 3"], faces: np.ndarray) -> int:
    """How many edges pass through a face that they share no vertex with."""
    edges = np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1), axis=0)
    ends = vertices[edges]
    low, high = ends.min(axis=1), ends.max(axis=1)
    count = 0
    for face in faces:
        a, b, c = vertices[face]
        near = ((low <= vertices[face].max(axis=0)) & (high >= vertices[face].min(axis=0))).all(axis=1)
        near[near] = ~np.isin(edges[near], face).any(axis=1)
        start, along = ends[near, 0], ends[near, 1] - ends[near, 0]
        h = np.cross(along, c - a)
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = 1 / (h @ (b - a))
            u = ((start - a) * h).sum(axis=1) * scale
            q = np.cross(start - a, b - a)
            v = (along * q).sum(axis=1) * scale
            t = (q @ (c - a)) * scale
            count += int(((u > 0) & (v > 0) & (u + v < 1) & (t > 0) & (t < 1)).sum())
    return count


def test_counts_and_wrist_are_mano_s(hand: HandModel) -> None:
    vertices, _ = _mesh(hand)
    assert vertices.shape == (778, 3) and hand.faces.shape == (1538, 3)
    assert len(hand.wrist_loop) == 16
    assert (vertices[hand.wrist_loop.numpy(), 0] > -0.01).all()
    assert 0.00015 < _closed_volume(hand, vertices) < 0.0004  # cubic metres, faces outward


def test_axes_are_mano_s_right_hand(hand: HandModel) -> None:
    vertices, joints = _mesh(hand)
    np.testing.assert_allclose(joints[0], 0, atol=1e-6)
    middle_tip, thumb_tip, little_tip = (joints[JOINT_NAMES.index(f"{f}_tip")] for f in ("middle", "thumb", "little"))
    assert middle_tip[0] < -0.16 and abs(middle_tip[2]) < 0.005
    assert thumb_tip[2] > 0.06 and little_tip[2] < -0.03
    palm = hand.extras["palmness"] > 0.8
    assert vertices[palm, 1].mean() < vertices[hand.extras["palmness"] < 0.2, 1].mean() - 0.01


@pytest.mark.parametrize("finger", FINGERS[1:])
def test_turning_about_z_bends_toward_the_palm(hand: HandModel, finger: str) -> None:
    pose = np.zeros((15, 3))
    pose[MANO_JOINT_NAMES.index(f"{finger}_1") - 1, 2] = np.pi / 2
    _, joints = _mesh(hand, pose)
    base, tip = (joints[JOINT_NAMES.index(f"{finger}_{part}")] for part in ("1", "tip"))
    assert tip[1] - base[1] < -0.9 * np.linalg.norm(tip - base)


def test_tips_are_the_ends_of_their_fingers(hand: HandModel) -> None:
    vertices, joints = _mesh(hand)
    parts = hand.part_of_vertex.numpy()
    for finger, tip in FINGERTIP_VERTICES.items():
        joint = MANO_JOINT_NAMES.index(f"{finger}_3")
        assert parts[tip] == joint
        origin, along = joints[JOINT_NAMES.index(f"{finger}_3")], hand.extras["joint_frames"][joint][:, 1]
        reach = (vertices[parts == joint] - origin) @ along
        assert (vertices[tip] - origin) @ along > reach.max() - 0.001
        off_axis = np.linalg.norm(np.cross(vertices[tip] - origin, along))
        assert off_axis < 0.004


def test_fingers_are_straight_at_rest(hand: HandModel) -> None:
    _, joints = _mesh(hand)
    for finger in range(5):
        chain = joints[1 + 4 * finger : 5 + 4 * finger]
        bones = np.diff(chain, axis=0)
        bones /= np.linalg.norm(bones, axis=1, keepdims=True)
        assert (bones[0] @ bones[1] > np.cos(np.deg2rad(3))) and (bones[1] @ bones[2] > np.cos(np.deg2rad(8)))


def test_no_self_crossing_at_rest_for_any_shape(hand: HandModel) -> None:
    faces = hand.faces.numpy()
    assert _crossings(_mesh(hand)[0], faces) == 0
    for betas in (2 * np.eye(10)[0], -2 * np.eye(10)[0], 2 * np.eye(10)[1], -2 * np.eye(10)[7]):
        assert _crossings(_mesh(hand, betas=betas)[0], faces) == 0


def test_the_crossing_test_sees_a_crossing(hand: HandModel) -> None:
    pose = _bent(hand, ["index_1", "index_2", "index_3"], 150)
    assert _crossings(_mesh(hand, pose)[0], hand.faces.numpy()) > 0


@pytest.mark.parametrize("part", [1, 2])
@pytest.mark.parametrize("finger", FINGERS[1:])
def test_a_joint_bent_by_90_degrees_does_not_collapse(hand: HandModel, finger: str, part: int) -> None:
    """The knuckle keeps its distance from the bone; linear skinning alone loses about four tenths of it."""
    rest, rest_joints = _mesh(hand)
    vertices, joints = _mesh(hand, _bent(hand, [f"{finger}_{part}"]))
    index = JOINT_NAMES.index(f"{finger}_{part}")
    _, along, palm = hand.extras["joint_frames"][MANO_JOINT_NAMES.index(f"{finger}_{part}")].T
    before = _reach(rest, hand.faces.numpy(), rest_joints[index], -palm)
    after = _reach(vertices, hand.faces.numpy(), joints[index], (along - palm) / np.sqrt(2))
    assert after > 0.72 * before
    assert abs(_closed_volume(hand, vertices) / _closed_volume(hand, rest) - 1) < 0.02


def test_a_fist_keeps_its_volume_and_linear_skinning_alone_does_not(hand: HandModel) -> None:
    fingers = [f"{finger}_{part}" for finger in FINGERS[1:] for part in (1, 2)]
    pose = _bent(hand, fingers)
    rest = _closed_volume(hand, _mesh(hand)[0])
    assert abs(_closed_volume(hand, _mesh(hand, pose)[0]) / rest - 1) < 0.03
    plain = HandModel.default()
    plain.layer.posedirs.zero_()
    assert _closed_volume(plain, _mesh(plain, pose)[0]) / rest < 0.92


def test_shape_components_are_visible_plausible_and_keep_the_wrist(hand: HandModel) -> None:
    mean, _ = _mesh(hand)
    changes = []
    for component in range(10):
        for sign in (-2.0, 2.0):
            vertices, joints = _mesh(hand, betas=sign * np.eye(10)[component])
            length = np.linalg.norm(joints[JOINT_NAMES.index("middle_tip")])
            assert 0.14 < length < 0.23
        changes.append(np.linalg.norm(vertices - mean, axis=1).max())
        regressed = hand.layer.J_regressor[0] @ (hand.layer.v_template + 2 * hand.layer.shapedirs[..., component])
        np.testing.assert_allclose(regressed.numpy(), 0, atol=1e-4)
    assert min(changes) > 0.0015
    assert changes[0] > 0.02  # from a child's hand to a large adult's


def test_shape_moves_joints_with_the_flesh(hand: HandModel) -> None:
    """Every finger joint stays inside its finger for big and small hands."""
    for betas in (np.zeros(10), 2 * np.eye(10)[0], -2 * np.eye(10)[0], -2 * np.eye(10)[1]):
        vertices, joints = _mesh(hand, betas=betas)
        for name in MANO_JOINT_NAMES[1:]:
            place = joints[JOINT_NAMES.index(name)]
            frame = hand.extras["joint_frames"][MANO_JOINT_NAMES.index(name)]
            for direction in (frame[:, 0], -frame[:, 0], frame[:, 2], -frame[:, 2]):
                assert 0.002 < _reach(vertices, hand.faces.numpy(), place, direction) < 0.09


def test_nails_lie_on_the_back_of_the_last_parts(hand: HandModel) -> None:
    mask = hand.extras["nail_mask"] > 0
    parts = hand.part_of_vertex.numpy()
    assert set(parts[mask]) == {3, 6, 9, 12, 15}
    assert (hand.extras["palmness"][mask] < 0.5).mean() > 0.9
    assert mask.sum() < 150


def test_pose_components_are_orthonormal_and_the_first_closes_the_hand(hand: HandModel) -> None:
    components = hand.pose_components.numpy()
    np.testing.assert_allclose(components @ components.T, np.eye(45), atol=1e-4)
    bends = components[0].reshape(15, 3)[:12, 2]
    assert (bends > 0).all() or (bends < 0).all()


def _reach(vertices: np.ndarray, faces: np.ndarray, origin: np.ndarray, direction: np.ndarray) -> float:
    """Distance from a point inside the hand to the skin along a direction, metres."""
    a, b, c = vertices[faces].transpose(1, 0, 2)
    h = np.cross(direction, c - a)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1 / ((b - a) * h).sum(axis=1)
        u = ((origin - a) * h).sum(axis=1) * scale
        q = np.cross(origin - a, b - a)
        v = (q @ direction) * scale
        t = ((c - a) * q).sum(axis=1) * scale
    hits = t[(u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)]
    assert len(hits), "the ray from the joint leaves through no face: the joint is outside the hand"
    return float(hits.min())


def test_dual_quaternions_move_rigid_parts_rigidly_and_keep_a_bent_radius() -> None:
    joints = np.zeros((16, 3))
    joints[1:, 0] = -np.arange(1, 16) * 0.02
    vertices = np.array([[0.0, 0.01, 0.0], [-0.02, 0.01, 0.0], [-0.03, 0.0, 0.005]])
    weights = np.zeros((3, 16))
    weights[0, 0] = weights[2, 1] = 1.0
    weights[1, :2] = 0.5
    rotations = np.tile(np.eye(3), (16, 1, 1))
    rotations[1] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    turned, translations = joint_transforms(rotations, joints)
    moved = dual_quaternion_skinning(vertices, weights, turned, translations)
    np.testing.assert_allclose(moved[0], vertices[0], atol=1e-12)
    np.testing.assert_allclose(moved[2], rotations[1] @ (vertices[2] - joints[1]) + joints[1], atol=1e-12)
    assert np.linalg.norm(moved[1] - joints[1]) == pytest.approx(0.01)


def test_bone_heat_weights_are_smooth_shares() -> None:
    angle, length = np.meshgrid(np.linspace(0, 2 * np.pi, 12, endpoint=False), np.linspace(0, 0.1, 30))
    tube = np.stack([-length, 0.01 * np.cos(angle), 0.01 * np.sin(angle)], axis=-1).reshape(-1, 3)
    faces = []
    for i in range(29):
        for j in range(12):
            a, b, c, d = 12 * i + j, 12 * i + (j + 1) % 12, 12 * i + 12 + j, 12 * i + 12 + (j + 1) % 12
            faces += [[a, c, b], [b, c, d]]
    starts, ends = np.array([[0.0, 0, 0], [-0.05, 0, 0]]), np.array([[-0.05, 0, 0], [-0.1, 0, 0]])
    weights = bone_heat_weights(tube, np.array(faces), starts, ends, np.array([0, 1]))
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (weights >= 0).all()
    profile = weights[:, 1].reshape(30, 12).mean(axis=1)
    assert (np.diff(profile) > -1e-9).all() and profile[0] == 0 and profile[-1] == 1
    assert 0.3 < np.interp(0.05, np.linspace(0, 0.1, 30), profile) < 0.7


def test_the_same_arrays_give_the_same_bytes() -> None:
    arrays = {"b": np.arange(5), "a": np.eye(3)}
    assert npz_bytes(arrays) == npz_bytes(dict(reversed(arrays.items())))


@pytest.mark.slow
def test_building_twice_gives_the_same_bytes() -> None:
    pytest.importorskip("anny")
    from recon.hand.default.build import build

    first, second = npz_bytes(build(people=12, poses=20)), npz_bytes(build(people=12, poses=20))
    assert first == second
