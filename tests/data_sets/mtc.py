"""A tree as MTC's archive unpacks, with rendered hands before the cameras of a dome."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import roma
import torch

from tests.data_sets.python2 import python2_pickle
from tests.data_sets.rebuild import encoded
from tests.data_sets.truth import Truth

SEQUENCE = "171204_pose1"


def frame(index: int) -> str:
    """How the set calls moment `index`."""
    return f"{3880 + 5 * index:08d}"


def write(
    root: Path,
    truths: Sequence[Truth],
    *,
    both: dict[int, Truth] | None = None,
    empty: Sequence[int] = (),
    distortion: Sequence[float] | None = (0.0, 0.0, 0.0, 0.0, 0.0),
) -> None:
    """A moment for each truth, seen by one camera of its own; the testing list has the last two of them.

    Args:
        root: folder to fill.
        truths: a hand of the person at each moment.
        both: moment -> the person's other hand.
        empty: moments that know the body but no hand.
        distortion: of every lens; None leaves the key out.
    """
    random = np.random.default_rng(11)
    cameras, people = {}, []
    for index, truth in enumerate(truths):
        rotation, translation = roma.random_rotmat(dtype=torch.float64).numpy(), random.uniform(-90, 90, (3, 1))
        cameras[index] = {"R": rotation, "t": translation, "K": truth.intrinsics, "name": f"00_{index:02d}"}
        if distortion is not None:
            cameras[index]["distCoef"] = np.array(distortion)
        person = {"seqName": SEQUENCE, "frame_str": frame(index), "id": 0, "body": {"landmarks": [0.0] * 57}}
        for hand in (truth, *([both[index]] if both and index in both else [])):
            world = (100 * hand.joints - translation.ravel()) @ rotation
            labels = {"landmarks": world.ravel().tolist(), "2D": {index: {"insideImg": [True] * 21}}}
            if index not in empty:
                person["right_hand" if hand.is_right else "left_hand"] = labels
        people.append(person)
        folder = root / "hdImgs" / SEQUENCE / frame(index)
        folder.mkdir(parents=True)
        (folder / f"00_{index:02d}_{frame(index)}.jpg").write_bytes(encoded(truth.image, "JPEG"))
    (root / "camera_data.pkl").write_bytes(python2_pickle({SEQUENCE: cameras}))
    lists = {"training_data": people[:-2], "testing_data": people[-2:]}
    (root / "annotation.pkl").write_bytes(python2_pickle(lists))
