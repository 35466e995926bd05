"""The orders of joints agree with each other, with MANO's tree and with smplx's fingertip ids."""

from smplx.vertex_ids import vertex_ids

from recon.hand.skeleton import (
    BONES,
    FINGERS,
    FINGERTIP_VERTICES,
    JOINT_NAMES,
    MANO_JOINT_NAMES,
    MANO_PARENTS,
    MANO_TO_OPENPOSE,
    PARENTS_21,
)


def test_reordering_takes_every_joint_and_tip_once() -> None:
    assert sorted(MANO_TO_OPENPOSE) == list(range(21))
    with_tips = [*MANO_JOINT_NAMES, *(f"{finger}_tip" for finger in FINGERS)]
    assert tuple(with_tips[i] for i in MANO_TO_OPENPOSE) == JOINT_NAMES


def test_both_trees_have_the_same_bones() -> None:
    mano = {(MANO_JOINT_NAMES[p], MANO_JOINT_NAMES[c]) for c, p in enumerate(MANO_PARENTS) if p >= 0}
    all_21 = {(JOINT_NAMES[p], JOINT_NAMES[c]) for c, p in enumerate(PARENTS_21) if p >= 0}
    assert mano < all_21
    assert all_21 - mano == {(f"{finger}_3", f"{finger}_tip") for finger in FINGERS}
    assert len(BONES) == 20


def test_fingertips_are_those_of_smplx() -> None:
    smplx_names = {"little": "pinky"}
    for finger, vertex in FINGERTIP_VERTICES.items():
        assert vertex_ids["mano"][smplx_names.get(finger, finger)] == vertex
