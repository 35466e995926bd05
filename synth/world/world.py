"""The rendered world: sample i of a seed and split is one scene and one picture (DESIGN section 5)."""

from pathlib import Path

import numpy as np

from synth.world.background import draw_background, photo_files
from synth.world.exposure import expose
from synth.world.sample import WorldSample, label
from synth.world.scene import Scene, sample_scene
from synth.world.shading import shade
from synth.world.surface import build_surface

SPLITS = ("train", "validation", "test")
"""Splits never share a scene, a background's pattern or a patch of skin texture."""


class World:
    """An endless, seeded source of labelled hand pictures."""

    def __init__(self, seed: int, size: int = 256, split: str = "train", backgrounds: str | Path | None = None) -> None:
        """Choose a world.

        Args:
            seed: non-negative; another seed is another world.
            size: side of the pictures in pixels, at least 32.
            split: "train", "validation" or "test".
            backgrounds: a folder of the user's photos, used behind half of the hands.

        Raises:
            ValueError: a value is out of range or the folder holds no photos.
        """
        if split not in SPLITS:
            raise ValueError(f"split {split!r} is not one of {', '.join(SPLITS)}")
        if seed < 0:
            raise ValueError(f"the world's seed must not be negative, got {seed}")
        if size < 32:
            raise ValueError(f"the size of the world's pictures must be at least 32 pixels, got {size}")
        self.seed, self.size, self.split = seed, size, split
        self.photos = photo_files(backgrounds) if backgrounds is not None else ()

    def scene(self, index: int, pose_name: str | None = None) -> Scene:
        """Scene `index`, always the same; `pose_name` replaces its pose by a class of the library."""
        rng = np.random.default_rng([self.seed, SPLITS.index(self.split), index])
        sample_id = f"{self.split}-{self.seed}-{index:07d}"
        looks = SPLITS.index(self.split)
        return sample_scene(rng, sample_id, self.size, looks, photos=bool(self.photos), pose_name=pose_name)

    def render(self, scene: Scene) -> WorldSample:
        """Draw a scene with all its labels; a function of the scene alone, but for the user's photos."""
        surface = build_surface(scene)
        backdrop = draw_background(scene.background, scene.size, self.photos)
        light, _ = shade(scene, surface, backdrop)
        return label(scene, surface, expose(light, scene.sensor))
