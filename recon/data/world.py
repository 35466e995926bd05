"""The rendered world as a data set: a folder that `handloom render` wrote, with parquet shards and their manifest.

Its columns are already in the record's units and axes. A shard is held against the manifest's sha256 before its first
row is read, so an altered one gives no hand; the manifest itself is read when the folder is opened.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recon.data.reader import ManoBasis, Reader
from recon.data.record import Frame, HandRecord
from recon.files import FileError, open_image, open_json

COLUMNS = (
    "sample_id",
    "image",
    "caption",
    "is_right",
    "betas",
    "global_orient",
    "hand_pose",
    "cam_t",
    "focal_length",
    "keypoints_2d",
    "joints",
    "box",
    "mask",
)
"""What is read of the world's columns; depth and parts are left in the file."""
SHARD_NAME = re.compile(r"data/(\w+)-\d{5}-of-\d{5}\.parquet")


@dataclass(frozen=True)
class _Shard:
    """A published shard, as the manifest describes it."""

    file: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class _RowGroup:
    """Rows of a shard in memory."""

    file: str
    numbers: range
    rows: list[dict[str, Any]]


class World(Reader):
    """Rendered hands: `data/SPLIT-*.parquet` and `manifest.json`; principal point = the picture's centre.

    `keypoints_2d` keeps the world's own confidence: 1 where a joint is seen, 0 where it is hidden or outside.
    """

    name = "world"
    splits = ("train", "validation", "test")
    licence = "Apache-2.0, as this program; no photo of a person is in it"

    def __init__(self, root: Path, split: str, mano: ManoBasis | None = None) -> None:
        """Open a split; arguments and errors as `Reader`, and the folder must be finished and hold parquet shards."""
        super().__init__(root, split, mano)
        self._manifest = self.root / "manifest.json"
        self._shards = self._listed()
        self._starts = np.cumsum([0, *(shard.rows for shard in self._shards)])
        self._whole: set[str] = set()
        self._held: _RowGroup | None = None

    def _listed(self) -> list[_Shard]:
        """The split's shards, each there with the size that was published."""
        content = open_json(self._manifest)
        if not isinstance(content, dict) or not isinstance(content.get("shards"), list):
            raise FileError(f"{self._manifest} has no list 'shards'; it must be that of `handloom render`.")
        if content.get("format") != "parquet":
            raise FileError(f"{self._manifest}: the format is {content.get('format')!r}; only parquet can be read.")
        if content.get("complete") is not True:
            raise FileError(f"{self.root} is not finished; give its `handloom render` command again.")
        shards, other = [], set()
        for entry in content["shards"]:
            shard = self._entry(entry)
            named = SHARD_NAME.fullmatch(shard.file)
            if not named:
                raise FileError(f"{self._manifest} names a shard {shard.file!r}; allowed is data/SPLIT-*.parquet.")
            if named[1] != self.split:
                other.add(named[1])
                continue
            path = self.root / shard.file
            size = path.stat().st_size if path.is_file() else None
            if size != shard.bytes:
                found = "is missing" if size is None else f"has {size:,} bytes instead of {shard.bytes:,}"
                raise FileError(f"{path} {found}; give the folder's `handloom render` command again.")
            shards.append(shard)
        if not shards:
            held = ", ".join(sorted(other)) or "none"
            raise FileError(f"{self.root} holds no split {self.split!r}; it holds {held}.")
        return shards

    def _entry(self, entry: Any) -> _Shard:
        kinds = {"file": str, "rows": int, "bytes": int, "sha256": str}
        for key, kind in kinds.items():
            if not isinstance(entry, dict) or not isinstance(entry.get(key), kind):
                raise FileError(f"{self._manifest}: an entry of 'shards' has no {key!r}.")
        return _Shard(*(entry[key] for key in kinds))

    def __getstate__(self) -> dict[str, Any]:
        """Rows in memory stay in this process."""
        return {**self.__dict__, "_held": None, "_whole": set()}

    def __len__(self) -> int:
        return int(self._starts[-1])

    def file(self, index: int) -> str:
        """The shard and the row in it."""
        shard, row = self._place(index)
        return f"{self.root / shard.file}, row {row}"

    def _place(self, index: int) -> tuple[_Shard, int]:
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._shards[number], index - int(self._starts[number])

    def read(self, index: int) -> Frame:
        """Picture `index`, which shows one hand."""
        shard, number = self._place(index)
        name = self.file(index)
        row = self._row(shard, number)
        missing = next((key for key in COLUMNS if key != "mask" and row[key] is None), None)
        if missing:
            raise FileError(f"{name}: column {missing!r} is empty.")
        image = self._bytes(row, "image", name)
        width, height = open_image(image, name=name).size
        focal = float(row["focal_length"])
        mask = None if row["mask"] is None else self._bytes(row, "mask", name)
        if mask is not None and open_image(mask, name=f"{name}, mask").size != (width, height):
            raise FileError(f"{name}: the mask is not of the picture's size.")
        hand = HandRecord(
            image=image,
            image_id=row["sample_id"],
            hand="right" if row["is_right"] else "left",
            dataset=self.name,
            split=self.split,
            is_right=row["is_right"],
            box=np.array(row["box"]),
            keypoints_2d=np.array(row["keypoints_2d"]),
            intrinsics=np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]),
            joints=np.array(row["joints"]),
            betas=np.array(row["betas"]),
            global_orient=np.array(row["global_orient"]),
            hand_pose=np.array(row["hand_pose"]),
            transl=np.array(row["cam_t"]),
            mask=mask,
            caption=row["caption"],
        )
        return Frame((hand,))

    @staticmethod
    def _bytes(row: dict[str, Any], key: str, name: str) -> bytes:
        data = row[key].get("bytes") if isinstance(row[key], dict) else None
        if not isinstance(data, bytes):
            raise FileError(f"{name}: column {key!r} holds no picture.")
        return data

    def _row(self, shard: _Shard, row: int) -> dict[str, Any]:
        """A row; the row group around it stays in memory for the next ones."""
        if self._held is None or self._held.file != shard.file or row not in self._held.numbers:
            path = self.root / shard.file
            if shard.file not in self._whole:
                self._verify(path, shard)
            try:
                self._held = self._group(path, shard, row)
            except (pa.ArrowException, OSError) as error:
                raise FileError(f"{path} is not a readable parquet file.") from error
        return self._held.rows[row - self._held.numbers.start]

    def _group(self, path: Path, shard: _Shard, row: int) -> _RowGroup:
        """The row group that holds a row."""
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows != shard.rows:
                raise FileError(f"{path} has {file.metadata.num_rows} rows; the manifest says {shard.rows}.")
            missing = [key for key in COLUMNS if key not in file.schema_arrow.names]
            if missing:
                raise FileError(f"{path} has no column {missing[0]!r}.")
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
            ends = np.cumsum(sizes)
            group = int(np.searchsorted(ends, row, side="right"))
            numbers = range(int(ends[group]) - sizes[group], int(ends[group]))
            return _RowGroup(shard.file, numbers, file.read_row_group(group, columns=list(COLUMNS)).to_pylist())

    def _verify(self, path: Path, shard: _Shard) -> None:
        """Make sure, once in a process, that the shard's bytes are those that were published."""
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise FileError(f"{path} cannot be read: {error.strerror or error}.") from error
        if digest != shard.sha256:
            raise FileError(f"{path} was altered after it was written (its sha256 differs from the manifest's).")
        self._whole.add(shard.file)
