"""The rendered world: sample i of a seed and split is one scene and one picture, whoever draws it (DESIGN section 5)."""

import numpy as np

from synth.world.scene import Scene, sample_scene

SPLITS = ("train", "validation", "test")
"""Splits never share a scene, a background's pattern or a patch of skin texture."""


class World:
    """An endless, seeded source of labelled hand pictures."""

    def __init__(self, seed: int, size: int = 256, split: str = "train") -> None:
        """Choose a world.

        Args:
            seed: non-negative; another seed is another world.
            size: side of the pictures in pixels, at least 32.
            split: "train", "validation" or "test".

        Raises:
            ValueError: a value is out of range.
        """
        if split not in SPLITS:
            raise ValueError(f"split {split!r} is not one of {', '.join(SPLITS)}")
        if seed < 0:
            raise ValueError(f"the world's seed must not be negative, got {seed}")
        if size < 32:
            raise ValueError(f"the size of the world's pictures must be at least 32 pixels, got {size}")
        self.seed, self.size, self.split = seed, size, split

    def scene(self, index: int, pose_name: str | None = None) -> Scene:
        """Scene `index`, always the same; `pose_name` replaces its pose by a class of the library."""
        rng = np.random.default_rng([self.seed, SPLITS.index(self.split), index])
        sample_id = f"{self.split}-{self.seed}-{index:07d}"
        return sample_scene(rng, sample_id, self.size, look_range=SPLITS.index(self.split), pose_name=pose_name)
