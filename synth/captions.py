"""Exact descriptions of a hand from its mesh parameters, and captions woven from them (DESIGN section 5).

What is said about fingers, palm and side is measured on joint angles and orientation, never read off a label.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from recon.hand.skeleton import FINGERS
from synth.world.anatomy import default_anatomy
from synth.world.contact import pose_bones

PALM_WORDS = {
    "palm": (
        "palm facing the camera",
        "showing the palm",
        "seen from the palm side",
        "with its palm towards the viewer",
    ),
    "back": (
        "back of the hand facing the camera",
        "showing the back of the hand",
        "seen from behind",
        "palm turned away",
    ),
    "thumb side": ("seen from the thumb side", "turned sideways with the thumb in front", "in side view"),
    "little finger side": ("seen from the little finger side", "turned sideways, edge on", "in side view"),
    "fingertips": ("fingers pointing at the camera", "seen from the fingertips", "reaching towards the camera"),
    "wrist": ("fingers pointing away from the camera", "seen from the wrist", "reaching away from the camera"),
}
DIRECTION_WORDS = {
    "up": ("pointing up", "upright"),
    "down": ("pointing down", "hanging down"),
    "left": ("pointing to the left",),
    "right": ("pointing to the right",),
}


@dataclass(frozen=True)
class HandDescription:
    """What can be seen of a hand, in words."""

    side: str
    """"left" or "right"."""
    fingers: dict[str, str]
    """Per finger "straight", "bent" or "curled"; the thumb is "out", "beside the palm" or "across the palm"."""
    palm: str
    """Side of the hand towards the camera, a key of `PALM_WORDS`."""
    direction: str
    """Where the hand (wrist to knuckles) points in the picture, a key of `DIRECTION_WORDS`."""


def describe_hand(
    hand_pose_rotvec: Float[np.ndarray, " 45"], global_orient_rotvec: Float[np.ndarray, " 3"], is_right: bool
) -> HandDescription:
    """Measure a hand.

    Args:
        hand_pose_rotvec: flat-mean MANO pose of the hand's own side, radians.
        global_orient_rotvec: its orientation in the camera frame (OpenCV axes).
        is_right: side; a left hand's parameters are those of the left model.
    """
    pose, orient = np.asarray(hand_pose_rotvec, np.float64), np.asarray(global_orient_rotvec, np.float64)
    if not is_right:
        mirror = np.array([1.0, -1.0, -1.0])
        pose, orient = (pose.reshape(15, 3) * mirror).reshape(45), orient * mirror
    turn = Rotation.from_rotvec(orient).as_matrix()
    fingers = finger_states(pose)
    ahead, palm, thumb = -turn[:, 0], -turn[:, 1], turn[:, 2]
    towards = -np.array([ahead[2], palm[2], thumb[2]])
    axis = int(np.argmax(np.abs(towards) * np.array([0.8, 1.0, 1.0])))
    sides = (("fingertips", "wrist"), ("palm", "back"), ("thumb side", "little finger side"))
    facing = sides[axis][0 if towards[axis] > 0 else 1]
    x, y = (ahead[0], ahead[1]) if is_right else (-ahead[0], ahead[1])
    direction = ("right" if x > 0 else "left") if abs(x) > abs(y) else ("down" if y > 0 else "up")
    return HandDescription("right" if is_right else "left", fingers, facing, direction)


def finger_states(hand_pose_rotvec: Float[np.ndarray, " 45"]) -> dict[str, str]:
    """State of each finger of a right hand's flat-mean pose (left hands: mirror first)."""
    anatomy = default_anatomy()
    angles = anatomy.to_angles(np.asarray(hand_pose_rotvec, np.float64))
    matrices = Rotation.from_rotvec(np.reshape(hand_pose_rotvec, (15, 3))).as_matrix()
    joints, _ = pose_bones(matrices, anatomy.rest_joints)
    across = joints[4, 2] - joints[5, 2]
    states = {"thumb": "out" if across > 0.022 else ("beside the palm" if across > -0.004 else "across the palm")}
    for finger, name in enumerate(FINGERS[1:]):
        mcp, _, pip, dip = angles[5 + 4 * finger : 9 + 4 * finger]
        if pip + dip < 45 and mcp < 45:
            states[name] = "straight"
        elif pip > 70 and mcp + pip > 120:
            states[name] = "curled"
        else:
            states[name] = "bent"
    return states


def finger_phrase(fingers: dict[str, str], rng: np.random.Generator) -> str:
    """The finger states as one phrase, for instance "index and middle finger straight, the others curled"."""
    names = FINGERS[1:]
    groups = {state: [name for name in names if fingers[name] == state] for state in ("straight", "bent", "curled")}
    groups = {state: members for state, members in groups.items() if members}
    thumb = {
        "out": "the thumb out",
        "beside the palm": "the thumb beside the palm",
        "across the palm": "the thumb across the palm",
    }
    if len(groups) == 1:
        state = next(iter(groups))
        text = f"all fingers {state}" if rng.random() < 0.5 else f"four fingers {state}"
    else:
        ordered = sorted(groups.items(), key=lambda item: len(item[1]))
        parts = [f"{_join(members)} finger{'s' if len(members) > 1 else ''} {state}" for state, members in ordered]
        if len(ordered) == 2 and rng.random() < 0.5:
            parts[1] = f"the others {ordered[1][0]}"
        text = ", ".join(f"the {part}" if not part.startswith("the ") else part for part in parts)
    return f"{text}, {thumb[fingers['thumb']]}" if rng.random() < 0.6 else text


def weave_captions(
    hand: HandDescription,
    pose_words: tuple[str, ...],
    skin: tuple[str, ...],
    light: tuple[str, ...],
    background: tuple[str, ...],
    sleeve: tuple[str, ...],
    rng: np.random.Generator,
) -> tuple[str, ...]:
    """Ten wordings of one scene, from a bare pose name to a full sentence; every statement in them is true.

    Args:
        hand: the measured hand.
        pose_words: noun phrases of the pose; empty for a pose without a name.
        skin: adjectives ("dark brown").
        light: phrases ("in soft light").
        background: phrases ("in front of a red brick wall").
        sleeve: phrases ("with a red sleeve", "with a bare forearm").
        rng: chooses among synonyms.
    """

    def pick(words: tuple[str, ...]) -> str:
        return words[int(rng.integers(len(words)))]

    states = finger_phrase(hand.fingers, rng)
    plain = f"a hand with {states}"
    name = pick(pose_words) if pose_words else plain
    other = pick(pose_words) if pose_words else f"a {hand.side} hand with {states}"
    first = pose_words[0] if pose_words else plain
    palm, direction = pick(PALM_WORDS[hand.palm]), pick(DIRECTION_WORDS[hand.direction])
    side = hand.side
    tone, glow, place, cloth = pick(skin), pick(light), pick(background), pick(sleeve)
    making = f", making {other}" if pose_words else ""
    of_side = f"{other} made with the {side} hand" if pose_words else f"{other}"
    return (
        _bare(first),
        name,
        sided(name, side) if pose_words else f"a {side} hand with {states}",
        f"a photo of {of_side}, {palm}",
        f"a {side} hand with {tone} skin, {states}",
        f"{name}, {palm}, {place}",
        f"a {tone} {side} hand, {direction}, {palm}, {glow}",
        f"a photo of a {side} hand showing {other}, {states}, {place}"
        if pose_words
        else f"a photo of {other}, {place}",
        f"a {side} hand {cloth}, {palm}, {states}, {glow}",
        f"a photograph of a {side} hand with {tone} skin {cloth}{making}, {palm}, {direction}, {states}, {glow}, "
        f"{place}",
    )


def sided(phrase: str, side: str) -> str:
    """Put the side into a noun phrase: "a fist" -> "a left fist", "the ASL letter B" -> "... with the left hand"."""
    head, _, rest = phrase.partition(" ")
    if head in ("a", "an") and rest.split()[-1] in ("fist", "hand", "palm", "claw", "grasp", "grip", "pinch"):
        return f"a {side} {rest}"
    return f"{phrase} with the {side} hand"


def _bare(phrase: str) -> str:
    head, _, rest = phrase.partition(" ")
    return rest if head in ("a", "an", "the") else phrase


def _join(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
