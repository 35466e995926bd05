"""Names, orders and parents of the hand's joints: MANO's 16, and the 21 of OpenPose and FreiHAND.

Both orders start at the wrist; the 21 go thumb, index, middle, ring, little, each from base to tip, the 16 go index,
middle, little, ring, thumb without tips (DESIGN sections 3 and 4).
"""

FINGERS: tuple[str, ...] = ("thumb", "index", "middle", "ring", "little")
"""Finger names in the order of the 21 joints."""

MANO_FINGERS: tuple[str, ...] = ("index", "middle", "little", "ring", "thumb")
"""Finger names in the order of MANO's kinematic tree."""

MANO_JOINT_NAMES: tuple[str, ...] = ("wrist", *(f"{finger}_{i}" for finger in MANO_FINGERS for i in (1, 2, 3)))
"""The 16 articulated joints; ``index_1`` is the knuckle (MCP), ``thumb_1`` the carpometacarpal joint (CMC)."""

JOINT_NAMES: tuple[str, ...] = (
    "wrist",
    *(f"{finger}_{part}" for finger in FINGERS for part in (*((1, 2, 3)), "tip")),
)
"""The 21 joints: the 16 above in the OpenPose order, with a tip at the end of each finger."""

FINGERTIP_VERTICES: dict[str, int] = {"thumb": 744, "index": 320, "middle": 443, "ring": 554, "little": 671}
"""Vertex ids of the fingertips (smplx's ids for MANO), in the order of `FINGERS`."""

_MANO_WITH_TIPS = (*MANO_JOINT_NAMES, *(f"{finger}_tip" for finger in FINGERS))

MANO_TO_OPENPOSE: tuple[int, ...] = tuple(_MANO_WITH_TIPS.index(name) for name in JOINT_NAMES)
"""Where each of the 21 joints stands in the list of MANO's 16 joints followed by the tips, thumb to little."""

MANO_PARENTS: tuple[int, ...] = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
"""Parent of each of the 16 joints."""

PARENTS_21: tuple[int, ...] = (-1, *(0 if part == 0 else 4 * finger + part for finger in range(5) for part in range(4)))
"""Parent of each of the 21 joints."""

BONES: tuple[tuple[int, int], ...] = tuple((parent, child) for child, parent in enumerate(PARENTS_21) if parent >= 0)
"""The 20 bones as (parent, child) in the order of the 21 joints."""
