"""The sheet of poses and shapes bends the joints that it names."""

import numpy as np

from recon.hand.skeleton import MANO_JOINT_NAMES
from synth.render.hand_sheet import PALM_VIEW, POSES, bend


def test_flexions_go_to_the_joints_named():
    pose = bend({"index": 30.0, "index_2": 90.0, "ring_3": 45.0}).reshape(15, 3)
    bent = {name: angle for name, angle in zip(MANO_JOINT_NAMES[1:], np.rad2deg(pose[:, 2]), strict=True) if angle}
    assert {name: round(angle) for name, angle in bent.items()} == {
        "index_1": 30,
        "index_2": 90,
        "index_3": 30,
        "ring_3": 45,
    }
    assert not pose[:, :2].any()


def test_the_view_shows_the_palm_with_the_fingers_up():
    np.testing.assert_allclose(PALM_VIEW @ [-1, 0, 0], [0, -1, 0])  # fingers to the top of the picture
    np.testing.assert_allclose(PALM_VIEW @ [0, -1, 0], [0, 0, -1])  # palm to the camera
    assert np.linalg.det(PALM_VIEW) > 0
    assert all(np.isfinite(bend(angles)).all() for angles in POSES.values())
