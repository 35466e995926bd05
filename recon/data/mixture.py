"""Several data sets in one stream, each with its share: weighted sampling from a YAML file.

Shares are stratified: a block of positions draws each set as often as its weight says, within one. Which set a position
takes is a function of (seed, lane, position) alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml

from recon.data.parquet_set import Lane, ParquetSet
from recon.data.record import HandRecord
from recon.files import FileError

BLOCK = 1024


@dataclass(frozen=True)
class MixtureSet:
    """A data set in a mixture."""

    name: str
    folder: Path
    """From `handloom convert`."""
    weight: float
    """Share of the samples; the weights of a mixture sum to 1."""
    records: int | None = None
    """How many the published set holds, where that is known; for reading only."""


@dataclass(frozen=True)
class MixtureConfig:
    """The sets of a mixture.

    Raises:
        FileError: no set, a name twice, or weights that are not positive or do not sum to 1.
    """

    sets: tuple[MixtureSet, ...]

    def __post_init__(self) -> None:
        """Hold the weights to what they mean."""
        names = [entry.name for entry in self.sets]
        if not names or len(set(names)) < len(names):
            raise FileError(f"A mixture needs sets with different names, not {', '.join(names) or 'none'}.")
        if min(entry.weight for entry in self.sets) <= 0:
            raise FileError("Every weight of a mixture must be above 0.")
        total = sum(entry.weight for entry in self.sets)
        if abs(total - 1) > 1e-6:
            raise FileError(f"The weights of a mixture sum to {total:g}; they must sum to 1.")

    @classmethod
    def from_yaml(cls, path: str | Path) -> MixtureConfig:
        """Read a file with one key, `sets`: a list of `name`, `folder`, `weight` and, if known, `records`.

        Raises:
            FileError: missing, no YAML, or other keys; the message names the file.
        """
        try:
            settings = yaml.safe_load(Path(path).read_text("utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise FileError(f"{path} is not a readable YAML file: {str(error).splitlines()[0]}.") from error
        if not isinstance(settings, dict) or set(settings) != {"sets"} or not isinstance(settings["sets"], list):
            raise FileError(f"{path} must hold one key, sets, with a list.")
        sets = []
        for entry in settings["sets"]:
            keys = set(entry) if isinstance(entry, dict) else set()
            if not {"name", "folder", "weight"} <= keys <= {"name", "folder", "weight", "records"}:
                raise FileError(f"{path}: each set has name, folder, weight and perhaps records, not {entry!r}.")
            if not isinstance(entry["weight"], float | int) or isinstance(entry["weight"], bool):
                raise FileError(f"{path}: the weight of {entry['name']} is {entry['weight']!r}; it must be a number.")
            sets.append(MixtureSet(**{**entry, "folder": Path(entry["folder"]), "weight": float(entry["weight"])}))
        return cls(tuple(sets))


class Mixture:
    """Opened data sets with their weights."""

    def __init__(self, sets: Sequence[ParquetSet], weights: Sequence[float]) -> None:
        """Join sets.

        Args:
            sets: at least one.
            weights: shares, one for each, of sum 1.
        """
        if len(sets) != len(weights) or not sets:
            raise ValueError(f"{len(sets)} sets have {len(weights)} weights; one each is needed.")
        self.sets, self.weights = list(sets), np.asarray(weights, np.float64)

    @classmethod
    def open(cls, config: MixtureConfig) -> Mixture:
        """Open all folders of a mixture.

        Raises:
            FileError: a folder is missing or not finished; the message names it.
        """
        for entry in config.sets:
            if not entry.folder.is_dir():
                raise FileError(f"{entry.folder} does not exist; `handloom convert` makes it from {entry.name}.")
        return cls([ParquetSet(entry.folder) for entry in config.sets], [entry.weight for entry in config.sets])

    @property
    def rows(self) -> int:
        """Records of the smallest set."""
        return min(one.rows for one in self.sets)

    def choices(self, lane: Lane, block: int) -> np.ndarray:
        """Which set each position of a block takes, int [BLOCK]."""
        rng = np.random.default_rng([lane.seed, lane.index, block, BLOCK])
        places = (np.arange(BLOCK) + rng.random()) / BLOCK
        drawn = np.searchsorted(np.cumsum(self.weights)[:-1], places, side="right")
        return rng.permutation(drawn)

    def stream(self, lane: Lane, start: int = 0) -> Iterator[HandRecord]:
        """The endless records of a lane, from position `start` on; the window is shared out by weight."""
        taken = np.zeros(len(self.sets), np.int64)
        block, inside = divmod(start, BLOCK)
        for earlier in range(block):
            taken += np.bincount(self.choices(lane, earlier), minlength=len(self.sets))
        taken += np.bincount(self.choices(lane, block)[:inside], minlength=len(self.sets))
        streams = [
            one.stream(replace(lane, window=int(lane.window * weight)), int(skip))
            for one, weight, skip in zip(self.sets, self.weights, taken, strict=True)
        ]
        while True:
            for index in self.choices(lane, block)[inside:]:
                yield next(streams[index])
            block, inside = block + 1, 0
