"""Folders of the rendered world, and one of their pictures damaged under a manifest that agrees."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.render import render


def write(root: Path, count: int = 6, shard_size: int = 4) -> Path:
    """`count` pictures of the test split."""
    render(num_images=count, out=root, size=96, seed=5, split="test", num_workers=1, shard_size=shard_size)
    return root


def rewrite(root: Path, change: dict[int, bytes], drop: str | None = None, shard: int = 0) -> None:
    """Replace pictures of a shard by other bytes, or drop a column, and publish its new digest."""
    manifest = json.loads((root / "manifest.json").read_text())
    entry = manifest["shards"][shard]
    path = root / entry["file"]
    table = pq.read_table(path)
    rows = table.to_pylist()
    for row, data in change.items():
        rows[row]["image"]["bytes"] = data
    table = pa.Table.from_pylist(rows, schema=table.schema)
    pq.write_table(table.drop_columns([drop]) if drop else table, path)
    data = path.read_bytes()
    entry.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    (root / "manifest.json").write_text(json.dumps(manifest))
