"""A tree as RHD's archive unpacks, with rendered hands."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.data_sets.python2 import python2_pickle
from tests.data_sets.rebuild import encoded
from tests.data_sets.truth import Truth

TIP_TO_BASE = [0] + [4 * finger + part for finger in range(5) for part in (4, 3, 2, 1)]
"""Our joints in the order of the set: the wrist, then each finger tip to base."""


def write(
    root: Path,
    truths: Sequence[Truth],
    *,
    both: dict[int, Truth] | None = None,
    empty: Sequence[int] = (),
    hidden: dict[int, Sequence[int]] | None = None,
) -> None:
    """Both splits of the same pictures.

    Args:
        root: folder to fill.
        truths: a hand for each picture; the set also knows where the other hand is, which no pixel shows.
        both: picture -> a hand of the other side that is seen as well.
        empty: pictures that show no joint.
        hidden: picture -> joints of the first hand (our order) that are not seen.
    """
    table = {}
    for index, truth in enumerate(truths):
        pixels, joints = np.full((42, 3), -5.0), np.full((42, 3), 0.7)
        pixels[:, 2] = 0
        for hand in (truth, *([both[index]] if both and index in both else [])):
            start = 21 if hand.is_right else 0
            joints[start : start + 21] = hand.joints[TIP_TO_BASE]
            pixels[start : start + 21, :2] = hand.keypoints_2d[TIP_TO_BASE, :2]
            pixels[start : start + 21, 2] = index not in empty
        for joint in (hidden or {}).get(index, ()):
            pixels[(21 if truth.is_right else 0) + TIP_TO_BASE.index(joint), 2] = 0
        table[index] = {"uv_vis": pixels, "xyz": joints, "K": truth.intrinsics.astype(np.float32)}
    for split in ("training", "evaluation"):
        (root / split / "color").mkdir(parents=True)
        (root / split / f"anno_{split}.pickle").write_bytes(python2_pickle(table))
        for index, truth in enumerate(truths):
            (root / split / "color" / f"{index:05d}.png").write_bytes(encoded(truth.image))
