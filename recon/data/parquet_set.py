"""A finished folder of records as a stream: row groups dealt to lanes, a window of them shuffled in memory at a time.

The order is a function of (seed, lane, position) alone. Row groups are shuffled over the whole set, dealt to the lanes,
and read in windows whose records are shuffled; so going to any position costs no reading of what lies before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recon.data.record import FEATURES, SHAPES, HandRecord
from recon.files import FileError, open_json

COLUMNS = ("image", "sample_id", "image_id", "dataset", "split", "is_right", *SHAPES)
"""What estimators learn from."""


@dataclass(frozen=True)
class Unit:
    """Rows `part::parts` of a row group."""

    shard: int
    group: int
    rows: int
    part: int = 0
    parts: int = 1


@dataclass(frozen=True)
class Lane:
    """One of several streams that together give every record once in an epoch."""

    index: int
    count: int
    seed: int
    shuffle: bool
    window: int
    """Records that may be in memory; a row group at least."""


class ParquetSet:
    """The records of a folder with `manifest.json` and `data/*.parquet`."""

    def __init__(self, folder: str | Path) -> None:
        """List the row groups; no data are read.

        Raises:
            FileError: no finished folder of Parquet, a shard missing or of another size, a column missing.
        """
        self.folder = Path(folder)
        name = self.folder / "manifest.json"
        manifest = open_json(name)
        try:
            complete, kind, entries = manifest["complete"], manifest["format"], manifest["shards"]
            shards = [(self.folder / entry["file"], entry["bytes"]) for entry in entries if entry["file"]]
        except (KeyError, TypeError) as error:
            raise FileError(f"{name} is not the manifest of a data set: {error} is missing.") from error
        if not complete or kind != "parquet":
            state = "unfinished" if not complete else f"written as {kind}"
            raise FileError(f"{self.folder} is {state}; training reads finished folders of parquet.")
        self.paths = [path for path, _ in shards]
        self.groups: list[Unit] = []
        for index, (path, size) in enumerate(shards):
            if not path.is_file() or path.stat().st_size != size:
                raise FileError(f"{path} is missing or not of the {size:,} bytes that the manifest names.")
            self.groups += _groups_of(path, index)
        self.rows = sum(group.rows for group in self.groups)
        if not self.rows:
            raise FileError(f"{self.folder} holds no records.")

    def units(self, lanes: int) -> list[Unit]:
        """At least one unit of work for each lane: row groups, or parts of them where they are few.

        Raises:
            FileError: there are fewer records than lanes.
        """
        if self.rows < lanes:
            raise FileError(f"{self.folder} holds {self.rows} records; {lanes} streams need at least one each.")
        parts = 1
        while True:
            units = [
                Unit(group.shard, group.group, rows, part, parts)
                for group in self.groups
                for part in range(parts)
                if (rows := len(range(part, group.rows, parts)))
            ]
            if len(units) >= lanes:
                return units
            parts *= 2

    def read(self, unit: Unit) -> list[HandRecord]:
        """The records of a unit, in the file's order.

        Raises:
            FileError: the file is damaged, or holds a record that cannot be.
        """
        path = self.paths[unit.shard]
        try:
            with pq.ParquetFile(path) as file:
                table = file.read_row_group(unit.group, columns=list(COLUMNS), use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise FileError(f"{path} is a damaged parquet file: {str(error).splitlines()[0].rstrip('.')}.") from error
        table = table.combine_chunks()
        arrays = {name: _array_of(table[name], shape) for name, shape in SHAPES.items()}
        words = {name: table[name].to_pylist() for name in ("sample_id", "image_id", "dataset", "split", "is_right")}
        pictures = table["image"].combine_chunks().field("bytes")
        if pictures.null_count:
            raise FileError(f"{path} holds a record without a picture.")

        def labels(row: int) -> dict[str, Any]:
            return {name: values[row] if known[row] else None for name, (values, known) in arrays.items()}

        return [
            HandRecord(
                image=pictures[row].as_py(),
                image_id=words["image_id"][row],
                hand=words["sample_id"][row].rpartition("/")[2],
                dataset=words["dataset"][row],
                split=words["split"][row],
                is_right=words["is_right"][row],
                **labels(row),
            )
            for row in range(unit.part, table.num_rows, unit.parts)
        ]

    def rows_of(self, lane: Lane) -> int:
        """Records of a lane in its first epoch."""
        return sum(unit.rows for unit in self._epoch(lane, self.units(lane.count), 0))

    def stream(self, lane: Lane, start: int = 0, epochs: int | None = None) -> Iterator[HandRecord]:
        """The records of a lane, without end or for some epochs.

        Args:
            lane: which share, in which order.
            start: records to go past without reading them.
            epochs: how often to go round; None for ever.
        """
        units, skip, epoch = self.units(lane.count), start, 0
        while epochs is None or epoch < epochs:
            for number, window in enumerate(self._windows(lane, self._epoch(lane, units, epoch))):
                rows = sum(unit.rows for unit in window)
                if skip >= rows:
                    skip -= rows
                    continue
                records: list[HandRecord | None] = [record for unit in window for record in self.read(unit)]
                order = np.arange(rows)
                if lane.shuffle:
                    order = np.random.default_rng([lane.seed, epoch, lane.index, number]).permutation(rows)
                for index in order[skip:]:
                    record, records[index] = records[index], None  # what was given away is not held
                    assert record is not None
                    yield record
                skip = 0
            epoch += 1

    def _epoch(self, lane: Lane, units: Sequence[Unit], epoch: int) -> list[Unit]:
        """The lane's units of an epoch, in order."""
        order = np.arange(len(units))
        if lane.shuffle:
            order = np.random.default_rng([lane.seed, epoch]).permutation(len(units))
        return [units[index] for index in order[lane.index :: lane.count]]

    @staticmethod
    def _windows(lane: Lane, units: Sequence[Unit]) -> Iterator[list[Unit]]:
        """Units that are shuffled together: as many as the window takes."""
        window: list[Unit] = []
        for unit in units:
            if window and sum(entry.rows for entry in window) + unit.rows > lane.window:
                yield window
                window = []
            window.append(unit)
        if window:
            yield window


def _groups_of(path: Path, index: int) -> list[Unit]:
    """The row groups of a shard.

    Raises:
        FileError: no parquet, or its columns are not those of a record.
    """
    try:
        with pq.ParquetFile(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
    except (OSError, pa.ArrowException) as error:
        raise FileError(f"{path} is a damaged parquet file: {str(error).splitlines()[0].rstrip('.')}.") from error
    expected = FEATURES.arrow_schema
    for name in COLUMNS:
        if name not in schema.names or schema.field(name).type != expected.field(name).type:
            raise FileError(f"{path} has no column {name!r} of type {expected.field(name).type}.")
    counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    return [Unit(index, group, rows) for group, rows in enumerate(counts) if rows]


def _array_of(column: pa.ChunkedArray, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """A column of fixed-size lists as an array [rows, *shape], and which rows are not null."""
    array = column.combine_chunks()
    known = array.is_valid().to_numpy(zero_copy_only=False)
    for _ in shape:
        array = array.values.slice(array.offset * array.type.list_size, len(array) * array.type.list_size)
    return array.to_numpy(zero_copy_only=False).reshape(-1, *shape), known
