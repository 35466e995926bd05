"""How a scene looks: skin, light, background, sleeve, occluder and camera, each with the words that describe it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Rgb = Float[np.ndarray, " 3"]

_TONES: tuple[tuple[float, tuple[int, int, int], tuple[str, ...]], ...] = (
    (0.00, (247, 220, 204), ("very light", "very pale")),
    (0.16, (238, 200, 176), ("light", "fair", "pale")),
    (0.34, (222, 176, 146), ("light beige", "beige", "lightly tanned")),
    (0.50, (202, 150, 116), ("tanned", "light brown", "olive")),
    (0.66, (164, 112, 80), ("brown", "medium brown")),
    (0.82, (118, 76, 54), ("dark brown", "dark")),
    (1.00, (90, 58, 45), ("very dark", "deep brown")),
)
_PALM_TINT = np.array([226, 172, 150]) / 255

COLORS: dict[str, tuple[int, int, int]] = {
    "white": (232, 231, 227),
    "light gray": (186, 187, 188),
    "gray": (126, 128, 131),
    "dark gray": (66, 68, 72),
    "black": (28, 28, 31),
    "cream": (228, 215, 188),
    "beige": (203, 184, 156),
    "brown": (112, 80, 58),
    "red": (168, 48, 46),
    "orange": (214, 124, 52),
    "yellow": (220, 188, 84),
    "green": (76, 132, 78),
    "dark green": (42, 76, 54),
    "teal": (50, 124, 128),
    "light blue": (146, 184, 212),
    "blue": (56, 98, 164),
    "navy blue": (34, 48, 86),
    "purple": (112, 78, 140),
    "pink": (220, 158, 170),
}
"""Names and sRGB values of cloth and walls."""

BACKGROUND_KINDS: dict[str, tuple[str, ...]] = {
    "wall": ("in front of a {0} wall", "against a plain {0} background", "on a {0} background"),
    "gradient": ("in front of a {0} studio backdrop", "against a smooth {0} backdrop"),
    "wood": ("in front of a {0} wooden wall", "above a {0} wooden table"),
    "brick": ("in front of a {0} brick wall", "with a {0} brick wall behind it"),
    "fabric": ("in front of {0} fabric", "against {0} cloth"),
    "indoor": ("in a blurred room", "indoors with a blurred background", "inside a room"),
    "outdoor": ("outdoors with blurred greenery behind it", "outdoors", "in a blurred garden"),
    "sky": ("in front of the sky", "against a blue sky"),
    "photo": ("in front of a photographed background", "with a photo behind it"),
}
"""Kinds of background with their phrases; {0} is the colour's name."""
_KIND_SHARES = (0.19, 0.12, 0.08, 0.07, 0.06, 0.30, 0.13, 0.05)
_WOOD = ("brown", "beige", "dark gray", "cream")
_BRICK = ("red", "brown", "beige", "white", "gray")


@dataclass(frozen=True)
class Skin:
    """Colours are sRGB in [0, 1]."""

    tone: Rgb
    palm: Rgb
    nail: Rgb
    roughness: float
    """0 is oily and shiny, 1 is matt."""
    mottle: float
    """Strength of the blotches, about 0.02..0.08."""
    creases: float
    """Strength of knuckle and palm lines, 0..1."""
    texture_offset: Float[np.ndarray, " 3"]
    """Where the procedural texture is cut from its field, metres."""
    words: tuple[str, ...]


@dataclass(frozen=True)
class Light:
    """One key light, one fill light and a sky-to-ground ambience, in the camera frame; linear colours."""

    key_direction: Float[np.ndarray, " 3"]
    """Unit vector from the hand to the light."""
    key: Rgb
    fill_direction: Float[np.ndarray, " 3"]
    fill: Rgb
    sky: Rgb
    ground: Rgb
    words: tuple[str, ...]


@dataclass(frozen=True)
class Background:
    """A procedural picture, or a photo of the user's."""

    kind: str
    """A key of `BACKGROUND_KINDS`."""
    color: Rgb
    """sRGB."""
    second: Rgb
    seed: int
    blur: float
    """Standard deviation in 1/256 of the picture's width."""
    words: tuple[str, ...]


@dataclass(frozen=True)
class Forearm:
    """What stands behind the wrist."""

    sleeve_start: float
    """Metres from the wrist's edge to the cuff; negative for a bare forearm."""
    color: Rgb
    """Of the cloth, sRGB."""
    looseness: float
    """Cuff radius over forearm radius."""
    bend: Float[np.ndarray, " 2"]
    """Flexion and sideways bend of the wrist, radians."""
    words: tuple[str, ...]


@dataclass(frozen=True)
class Occluder:
    """A round bar in front of the hand."""

    start: Float[np.ndarray, " 3"]
    """Camera frame, in units of the hand's distance."""
    end: Float[np.ndarray, " 3"]
    radius: float
    color: Rgb


@dataclass(frozen=True)
class Sensor:
    """The camera's shortcomings."""

    noise: float
    """Standard deviation of the grain, in 1/255."""
    blur: float
    """Standard deviation in 1/256 of the picture's width."""
    exposure: float
    white_balance: Rgb
    vignette: float
    seed: int


def sample_skin(rng: np.random.Generator, look_range: int = 0) -> Skin:
    """Draw a skin; tones are spread evenly from very light to very dark, lighter ones a little denser."""
    depth = float(rng.uniform(0, 1) ** 1.15)
    levels = np.array([t[0] for t in _TONES])
    tone = np.array([np.interp(depth, levels, [t[1][c] for t in _TONES]) for c in range(3)]) / 255
    tone = np.clip(tone * (1 + rng.normal(0, 0.02)) + np.array([1, -0.3, -0.6]) * rng.normal(0.004, 0.012), 0.05, 1)
    palm = tone + (_PALM_TINT - tone) * (0.12 + 0.5 * depth) + np.array([0.015, -0.012, -0.008])
    nail = tone + (np.array([0.90, 0.70, 0.66]) - tone) * (0.35 + 0.2 * depth)
    if rng.random() < 0.08:
        nail = np.array(COLORS[str(rng.choice(["red", "pink", "purple", "navy blue", "teal"]))]) / 255
    words = _TONES[int(np.argmin(np.abs(levels - depth)))][2]
    return Skin(
        tone, np.clip(palm, 0, 1), np.clip(nail, 0, 1), float(rng.uniform(0.35, 0.8)), float(rng.uniform(0.02, 0.06)),
        float(rng.uniform(0.35, 1.0)), rng.uniform(-1, 1, 3) + np.array([4.0 * look_range, 0, 0]), words,
    )  # fmt: skip


def sample_light(rng: np.random.Generator) -> Light:
    """Draw a light."""
    azimuth, height = rng.uniform(-1.25, 1.25), rng.uniform(-0.15, 1.1)
    key_direction = _unit(np.array([np.sin(azimuth), -np.sin(height), -np.cos(azimuth) * np.cos(height)]))
    warmth = float(np.clip(rng.normal(0, 0.5), -1, 1))
    tint = np.array([1 + 0.10 * warmth, 1.0, 1 - 0.16 * warmth])
    hardness = float(rng.uniform(0.12, 0.85))
    level = float(rng.uniform(0.66, 0.95))
    key = tint * level * (0.45 + 0.65 * hardness)
    ambient = level * (0.62 - 0.34 * hardness)
    sky = np.array([1 - 0.06 * warmth, 1.0, 1 + 0.08 * warmth]) * ambient * 1.25
    ground = np.array([1.05, 1.0, 0.93]) * ambient * 0.75
    fill_direction = _unit(np.array([-np.sin(azimuth), rng.uniform(-0.5, 0.3), -0.7]))
    words: list[tuple[str, ...]] = [("in soft light", "softly lit")]
    if hardness >= 0.5:
        words = [("in bright light", "in direct light")]
    if hardness >= 0.38 and abs(azimuth) > 0.5:
        side = "right" if azimuth > 0 else "left"
        words.append((f"lit from the {side}", f"with light from the {side}"))
    if height > 0.75 and hardness >= 0.38:
        words.append(("lit from above",))
    if abs(warmth) > 0.45:
        words.append(("in warm light",) if warmth > 0 else ("in cool light",))
    return Light(
        key_direction,
        key,
        fill_direction,
        np.full(3, 0.16 * level),
        sky,
        ground,
        tuple(w for group in words for w in group),
    )


def sample_background(rng: np.random.Generator, look_range: int = 0, photos: bool = False) -> Background:
    """Draw a background; with `photos`, half of them are the user's."""
    kinds = [kind for kind in BACKGROUND_KINDS if kind != "photo"]
    kind = str(rng.choice(kinds, p=_KIND_SHARES))
    if photos and rng.random() < 0.5:
        kind = "photo"
    names = list({"wood": _WOOD, "brick": _BRICK}.get(kind, COLORS))
    name = str(rng.choice(names))
    color = _jittered(COLORS[name], rng, 0.03)
    color = color + (color.mean() - color) * rng.uniform(0.1, 0.45)  # walls are duller than the cloth of that name
    second = _jittered(COLORS[str(rng.choice(names))], rng, 0.03)
    blur = float(rng.uniform(0.6, 3.0)) if kind in ("wood", "brick", "fabric", "photo") else float(rng.uniform(6, 14))
    words = tuple(phrase.format(name) for phrase in BACKGROUND_KINDS[kind])
    return Background(kind, color, second, int(rng.integers(2**29)) + look_range * 2**29, blur, words)


def sample_forearm(rng: np.random.Generator) -> Forearm:
    """Draw a bare forearm or a sleeve."""
    name = str(rng.choice(list(COLORS)))
    bare = rng.random() < 0.55
    start = -1.0 if bare else float(rng.uniform(0.02, 0.07))
    words = (
        ("with a bare forearm", "with a bare wrist") if bare else (f"with a {name} sleeve", f"wearing a {name} sleeve")
    )
    bend = np.clip(rng.normal(0, [0.22, 0.12]), -0.5, 0.5)
    return Forearm(start, _jittered(COLORS[name], rng, 0.02), float(rng.uniform(1.1, 1.35)), bend, words)


def sample_occluder(rng: np.random.Generator) -> Occluder | None:
    """Draw a bar across a part of the hand in one scene of twenty-five."""
    if rng.random() > 0.04:
        return None
    angle, offset = rng.uniform(0, np.pi), rng.uniform(0.08, 0.17) * rng.choice([-1, 1])
    along = np.array([np.cos(angle), np.sin(angle), 0.0])
    across = np.array([-along[1], along[0], 0.0])
    middle = across * offset + np.array([0, 0, 0.8])
    color = _jittered(COLORS[str(rng.choice(list(COLORS)))], rng, 0.03)
    return Occluder(middle - along * 0.8, middle + along * 0.8, float(rng.uniform(0.008, 0.02)), color)


def sample_sensor(rng: np.random.Generator) -> Sensor:
    """Draw a camera."""
    return Sensor(
        noise=float(rng.uniform(0.3, 1.8)),
        blur=float(rng.uniform(0.0, 0.5)),
        exposure=float(rng.uniform(0.9, 1.12)),
        white_balance=1 + rng.normal(0, 0.015, 3),
        vignette=float(rng.uniform(0, 0.18)),
        seed=int(rng.integers(2**31)),
    )


def _jittered(color: tuple[int, int, int], rng: np.random.Generator, amount: float) -> np.ndarray:
    return np.clip(np.array(color) / 255 + rng.normal(0, amount) + rng.normal(0, amount / 3, 3), 0, 1)


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v)
