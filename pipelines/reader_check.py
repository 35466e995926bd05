"""What a person and a few figures say about a reader: sample hands on a sheet, reprojection errors in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from pipelines.hand_tiles import hand_tile
from pipelines.reading import read_picture
from recon.data.reader import Reader
from recon.data.record import HandRecord, project_points
from recon.hand.model import HandModel
from synth.render.sheet import contact_sheet

TRIES = 20
"""Pictures looked at for one sample, when the first ones have no hand."""


@dataclass(frozen=True)
class Samples:
    """Pictures spread over a split.

    Attributes:
        pictures: how many were read.
        hands: those in them.
        without_a_hand: pictures that show none.
        damage: a sentence for each picture that cannot be read.
    """

    pictures: int
    hands: tuple[HandRecord, ...]
    without_a_hand: int
    damage: tuple[str, ...]


def sample(reader: Reader, count: int, pictures: int) -> Samples:
    """Read hands from `count` places evenly spread over the first `pictures` pictures.

    From each place the pictures are read on until one has a hand, at most `TRIES` and not up to the next place.

    Raises:
        IncompleteRunError: the data set vanished.
    """
    count = min(count, pictures)
    places = np.linspace(0, pictures, count, endpoint=False).astype(int).tolist()
    hands: list[HandRecord] = []
    damage: list[str] = []
    read = empty = 0
    for place, following in zip(places, [*places[1:], pictures], strict=True):
        for index in range(place, min(following, place + TRIES)):
            found = read_picture(reader, index)
            read += 1
            if found.frame is None:
                damage.append(found.damage)
            elif found.frame.hands:
                hands.extend(found.frame.hands)
                break
            else:
                empty += 1
    return Samples(read, tuple(hands), empty, tuple(damage))


def sample_sheet(
    hands: Sequence[HandRecord], model: HandModel | None, title: str, tile: int = 256
) -> UInt8[np.ndarray, "h w 3"]:
    """The hands with their labels drawn over them.

    Args:
        hands: at least one.
        model: the right hand that the set's parameters belong to; without it, only stored vertices are shown.
        title: the line on top.
        tile: pixels of a picture.
    """
    pictures = [hand_tile(hand, model, tile) for hand in hands]
    return contact_sheet(pictures, [_caption(hand) for hand in hands], title=title, tile=tile)


def _caption(hand: HandRecord) -> str:
    side = {True: "right", False: "left", None: "side not known"}[hand.is_right]
    known = [name for name in ("joints", "hand_pose", "betas", "vertices", "mask") if getattr(hand, name) is not None]
    words = f"{side}; {', '.join(known) or '2D only'}"
    return f"{hand.image_id}: {words}; {hand.caption}" if hand.caption else f"{hand.image_id}: {words}"


def reprojection_errors(hands: Sequence[HandRecord]) -> np.ndarray:
    """Pixels between projected joints and labelled keypoints, over all hands that have both and a camera."""
    errors = [np.zeros(0, np.float32)]
    for hand in hands:
        if hand.joints is not None and hand.intrinsics is not None:
            labelled = hand.keypoints_2d[:, 2] > 0
            offset = project_points(hand.joints, hand.intrinsics) - hand.keypoints_2d[:, :2]
            errors.append(np.linalg.norm(offset, axis=1)[labelled])
    return np.concatenate(errors)


def figures(reader: Reader, samples: Samples) -> Mapping[str, str]:
    """The table of a check, name -> value."""
    errors = reprojection_errors(samples.hands)
    joined = f"{errors.mean():.2f} px mean, {errors.max():.2f} px at most" if len(errors) else "no 3D with a camera"
    lacking = sum(hand.joints is None for hand in samples.hands)
    poseless = sum(hand.hand_pose is None for hand in samples.hands)
    documented = f"{reader.expected:,}" if reader.expected is not None else "not known"
    return {
        "pictures in the split": f"{len(reader):,}",
        "pictures by its documentation": documented,
        "pictures read": f"{samples.pictures:,}",
        "hands in them": f"{len(samples.hands):,}",
        "pictures without a hand": f"{samples.without_a_hand:,}",
        "damaged pictures": f"{len(samples.damage):,}",
        "hands without 3D joints": f"{lacking:,}",
        "hands without a pose": f"{poseless:,}",
        "projected joints against keypoints": joined,
    }
