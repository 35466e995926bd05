"""The 26 one-handed letters of American Sign Language (DESIGN section 5); J and Z as their starting frame."""

import string

from synth.world.pose_class import PoseClass

_SHAPES = {"J": "I", "H": "U", "P": "K", "Q": "G"}
_VIEWS: dict[str, tuple[str, float]] = {
    "G": ("back", 90.0),
    "H": ("back", 90.0),
    "J": ("palm", -40.0),
    "P": ("back", 150.0),
    "Q": ("back", 165.0),
}


def letter_words(letter: str) -> tuple[str, ...]:
    """Noun phrases for one letter's sign."""
    return (
        f"the ASL letter {letter}",
        f"the letter {letter} in sign language",
        f"the sign language letter {letter}",
        f"an ASL {letter}",
        f"the sign for {letter}",
        f"letter {letter.lower()} of the ASL alphabet",
    )


LETTERS: tuple[PoseClass, ...] = tuple(
    PoseClass(
        name=letter,
        kind="letter",
        words=letter_words(letter),
        shape=_SHAPES.get(letter, letter),
        facing=_VIEWS.get(letter, ("palm", 0.0))[0],
        tilt=_VIEWS.get(letter, ("palm", 0.0))[1],
        oriented=letter in _VIEWS,
    )
    for letter in string.ascii_uppercase
)
"""In alphabetical order."""
