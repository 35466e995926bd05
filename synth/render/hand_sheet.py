"""A sheet of poses x shapes of a hand model, to be looked at: `python -m synth.render.hand_sheet FILE.png`.

Rows bend the joints to where skinning fails first (knuckles at 90 degrees, a fist, a spread hand); columns are the mean
shape and both ends of the shape components. Section 4 of the design; the figure style is that of paper 000.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from recon.hand.model import HandModel, HandParams
from recon.hand.skeleton import MANO_JOINT_NAMES
from synth.render.shaded import portrait
from synth.render.sheet import contact_sheet

# Fingers (-x at rest) up, palm (-y) towards the viewer; OpenCV axes.
PALM_VIEW = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def bend(angles: Mapping[str, float]) -> Float[np.ndarray, "45"]:
    """Rotation vectors of a pose from flexions in degrees, by the beginning of a joint's name ("index", "index_1").

    Later entries win; the thumb's joints bend about the same axis of the model as the fingers' do.
    """
    pose = np.zeros((15, 3))
    for beginning, angle in angles.items():
        for row, name in enumerate(MANO_JOINT_NAMES[1:]):
            if name.startswith(beginning):
                pose[row, 2] = np.deg2rad(angle)
    return pose.ravel()


FINGERS_ONLY = ("index", "middle", "ring", "little")
POSES: dict[str, Mapping[str, float]] = {
    "flat": {},
    "knuckles at 90": {f"{finger}_1": 90.0 for finger in FINGERS_ONLY},
    "middle joints at 90": {f"{finger}_2": 90.0 for finger in FINGERS_ONLY},
    "fist": dict.fromkeys(FINGERS_ONLY, 80.0),
    "pointing": {"middle": 80.0, "ring": 80.0, "little": 80.0},
    "claw": {f"{finger}_{part}": 60.0 for finger in FINGERS_ONLY for part in (2, 3)},
}


def hand_sheet(
    model: HandModel,
    poses: Mapping[str, Mapping[str, float]] = POSES,
    components: Sequence[int] = (0, 1, 2),
    *,
    deviations: float = 2.5,
    turns: Sequence[float] = (0.0, np.pi * 0.75),
    size: int = 160,
) -> UInt8[np.ndarray, "h w 3"]:
    """Draws every pose with the mean shape and with both ends of shape components, from two sides.

    Args:
        model: any hand.
        poses: name -> flexions as for `bend`.
        components: indices of shape components, 0..9.
        deviations: how far their ends lie, in standard deviations.
        turns: radians about the vertical axis of the views; 0 shows the palm.
        size: pixels of a picture.
    """
    shapes = [("mean shape", torch.zeros(10))]
    for component in components:
        for sign in (-1, 1):
            betas = torch.zeros(10)
            betas[component] = sign * deviations
            shapes.append((f"shape {component + 1} at {sign * deviations:+.1f}", betas))
    orient = torch.from_numpy(PALM_VIEW).float()[None, None]
    pictures, captions = [], []
    for pose_name, angles in poses.items():
        pose = torch.from_numpy(bend(angles)).float()[None]
        for shape_name, betas in shapes:
            params = HandParams.from_rotvec(betas[None], torch.zeros(1, 3), pose)
            with torch.no_grad():
                vertices = model(HandParams(params.betas, orient, params.hand_pose)).vertices[0].numpy()
            for turn in turns:
                pictures.append(portrait(vertices, model.faces.numpy(), size, turn=turn))
                captions.append(f"{pose_name}, {shape_name}" if turn == turns[0] else "")
    columns = len(shapes) * len(turns)
    return contact_sheet(pictures, captions, columns, f"{model.name}, fingerprint {model.fingerprint}", gap=4)


def draw_hand_sheet(out: Path, mano: Path | None = None, size: int = 160) -> None:
    """Draw poses x shapes of a hand model on one sheet.

    Args:
        out: PNG file to write.
        mano: MANO's right hand as npz; the default hand when absent.
        size: pixels of a picture.
    """
    model = HandModel.default() if mano is None else HandModel.from_mano(mano)
    Image.fromarray(hand_sheet(model, size=size)).save(out, "PNG")


if __name__ == "__main__":
    import jsonargparse

    jsonargparse.auto_cli(draw_hand_sheet)
