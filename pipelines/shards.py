"""One shard of a data set as bytes: parquet, a WebDataset tar or an image folder (DESIGN section 8).

The same rows give the same bytes: writer options are fixed, archives carry no dates or owners.
"""

import hashlib
import io
import json
import secrets
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Image
from PIL import Image as PillowImage

from pipelines.choices import Format
from recon.files import staged, write_atomic

Row = Mapping[str, Any]
SUFFIXES: dict[str, str] = {"parquet": ".parquet", "webdataset": ".tar", "imagefolder": ""}
ROWS_PER_GROUP = 100


def png_bytes(image: np.ndarray | PillowImage.Image) -> bytes:
    """An image (uint8 [h,w,3] or [h,w], uint16 [h,w], or Pillow's) as PNG; equal pixels give equal bytes."""
    buffer = io.BytesIO()
    picture = image if isinstance(image, PillowImage.Image) else PillowImage.fromarray(image)
    picture.save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def image_columns(features: Features) -> list[str]:
    """The columns that hold pictures."""
    return [name for name, feature in features.items() if isinstance(feature, Image)]


def plain_row(row: Row, features: Features) -> dict[str, Any]:
    """A row as Python numbers, strings and lists, its pictures as encoded bytes.

    Args:
        row: one value per feature; pictures as encoded bytes, arrays or Pillow images, None where there is none.
        features: the columns; a row has neither more nor fewer.

    Raises:
        ValueError: columns are missing or unknown.
    """
    if row.keys() != features.keys():
        odd = sorted(row.keys() ^ features.keys())
        raise ValueError(f"A row's columns differ from the data set's in {', '.join(odd)}.")
    plain = {}
    for name, feature in features.items():
        value = row[name]
        if isinstance(feature, Image) and not isinstance(value, bytes | None):
            value = png_bytes(value)
        plain[name] = _plain(value)
    return plain


def _plain(value: Any) -> Any:
    """Numbers of numpy as Python's, at any depth."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value


def encode_shard(rows: Sequence[dict[str, Any]], features: Features, fmt: Format) -> bytes | dict[str, bytes]:
    """All of a shard in memory.

    Args:
        rows: from `plain_row`, at least one, each with a unique `sample_id`.
        features: the columns.
        fmt: how to write them.

    Returns:
        the bytes of one file, or file name -> bytes for an image folder.
    """
    if fmt == "parquet":
        return _encode_parquet(rows, features)
    if fmt == "webdataset":
        return _encode_tar(rows, image_columns(features))
    return _encode_folder(rows, image_columns(features))


def _encode_parquet(rows: Sequence[dict[str, Any]], features: Features) -> bytes:
    """Parquet with the metadata by which `datasets` knows pictures from bytes."""
    pictures = image_columns(features)
    schema = features.arrow_schema
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, version="2.6", compression="zstd", compression_level=3) as writer:
        for start in range(0, len(rows), ROWS_PER_GROUP):
            group = []
            for row in rows[start : start + ROWS_PER_GROUP]:
                cells = dict(row)
                for name in pictures:
                    if row[name] is not None:
                        cells[name] = {"bytes": row[name], "path": f"{row['sample_id']}_{name}.png"}
                group.append(cells)
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
    return sink.getvalue().to_pybytes()


def _json_bytes(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _encode_tar(rows: Sequence[dict[str, Any]], pictures: Sequence[str]) -> bytes:
    """`ID.COLUMN.png` for each picture and `ID.json` for the rest of a row."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for row in rows:
            rest = {name: value for name, value in row.items() if name not in pictures}
            members = {f"{name}.png": row[name] for name in pictures if row[name] is not None}
            for suffix, data in {**members, "json": _json_bytes(rest)}.items():
                info = tarfile.TarInfo(f"{row['sample_id']}.{suffix}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _encode_folder(rows: Sequence[dict[str, Any]], pictures: Sequence[str]) -> dict[str, bytes]:
    """`ID.png`, `ID_COLUMN.png` for further pictures, and `metadata.jsonl` that names them."""
    files: dict[str, bytes] = {}
    lines = []
    for row in rows:
        line = {}
        for name, value in row.items():
            if name not in pictures:
                line[name] = value
            elif value is not None:
                main = name == "image"
                file_name = f"{row['sample_id']}.png" if main else f"{row['sample_id']}_{name}.png"
                line["file_name" if main else f"{name}_file_name"] = file_name
                files[file_name] = value
        lines.append(_json_bytes(line) + b"\n")
    return {**files, "metadata.jsonl": b"".join(lines)}


def read_shard(path: Path, features: Features, fmt: Format, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of a written shard, one after the other, pictures as encoded bytes.

    Args:
        path: a file or folder from `encode_shard`, known to be whole.
        features: the columns it was written with.
        fmt: how it was written.
        columns: those to give back.
    """
    pictures = image_columns(features)
    if fmt == "parquet":
        for batch in pq.ParquetFile(path).iter_batches(batch_size=ROWS_PER_GROUP, columns=list(columns)):
            for row in batch.to_pylist():
                yield {name: (row[name] or {}).get("bytes") if name in pictures else row[name] for name in columns}
    elif fmt == "webdataset":
        cells: dict[str, Any] = {}
        with tarfile.open(path) as archive:
            for member in archive:
                data = archive.extractfile(member)
                assert data is not None  # only regular files are written
                suffix = member.name.split(".", 1)[1]
                if suffix != "json":
                    cells[suffix.removesuffix(".png")] = data.read()
                    continue
                cells.update(json.loads(data.read()))
                yield {name: cells.get(name) for name in columns}
                cells = {}
    else:
        for text in (path / "metadata.jsonl").read_text("utf-8").split("\n")[:-1]:
            line = json.loads(text)
            for name in pictures:
                file_name = line.get("file_name" if name == "image" else f"{name}_file_name")
                line[name] = (path / file_name).read_bytes() if file_name and name in columns else None
            yield {name: line[name] for name in columns}


def payload_size(payload: bytes | Mapping[str, bytes]) -> int:
    """Bytes of a shard's file, or of all files of its folder."""
    return len(payload) if isinstance(payload, bytes) else sum(map(len, payload.values()))


def payload_digest(payload: bytes | Mapping[str, bytes]) -> str:
    """sha256 of a file's bytes; of a folder, that of its sorted lines `SHA256  NAME`, as `sha256sum` writes them."""
    if isinstance(payload, bytes):
        return hashlib.sha256(payload).hexdigest()
    lines = [f"{hashlib.sha256(payload[name]).hexdigest()}  {name}\n" for name in sorted(payload)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def store_shard(target: Path, payload: bytes | Mapping[str, bytes]) -> None:
    """Write a shard so that it appears under its name whole or not at all."""
    if isinstance(payload, bytes):
        write_atomic(target, payload)
        return
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.mkdir()
        for name, data in payload.items():
            with staged(temporary / name) as file:
                file.write_bytes(data)
        temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def fault_of_shard(folder: Path, entry: Mapping[str, Any]) -> str | None:
    """What is wrong with a published shard's file, in words; None when it is whole."""
    if entry["file"] is None:
        return None
    path = folder / entry["file"]
    if not path.exists():
        return "is missing"
    if path.is_dir():
        payload: bytes | dict[str, bytes] = {file.name: file.read_bytes() for file in path.iterdir()}
    else:
        payload = path.read_bytes()
    if payload_size(payload) != entry["bytes"]:
        return f"has {payload_size(payload):,} bytes instead of {entry['bytes']:,}"
    return None if payload_digest(payload) == entry["sha256"] else "was altered"
