"""Training pictures of hands with their control images and captions, as arrays that are read without decoding.

Made once from data sets whose rows hold the mesh (DESIGN section 8): control images are drawn from the row's own mesh,
exactly as the pipelines draw them from a sampled one (MMHMR section 3.5).
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from jaxtyping import Bool, Float32, UInt8
from PIL import Image
from tqdm.auto import tqdm

from recon.files import FileError, open_image, open_json
from recon.hand.model import HandModel, HandParams
from synth.render.control_images import mesh_control_image, occluded_joints, pose_control_image
from synth.render.rasterizer import rasterize

logger = logging.getLogger(__name__)

COLUMNS = (
    "image", "captions", "is_right", "betas", "global_orient", "hand_pose", "cam_t", "focal_length",
    "keypoints_2d", "box",
)  # fmt: skip
ARRAYS = ("images", "mesh", "pose", "is_right", "hand_pose", "global_orient", "keypoints_2d", "boxes")


@dataclass(frozen=True)
class Pictures:
    """n square pictures with what is known of them."""

    images: UInt8[np.ndarray, "n s s 3"]
    mesh: UInt8[np.ndarray, "n s s 3"]
    """Control images: shaded normals of the mesh."""
    pose: UInt8[np.ndarray, "n s s 3"]
    """Control images: the coloured skeleton."""
    is_right: Bool[np.ndarray, "n"]
    hand_pose: Float32[np.ndarray, "n 45"]
    """Rotation vectors of the hand's own side, flat mean, radians."""
    global_orient: Float32[np.ndarray, "n 3"]
    keypoints_2d: Float32[np.ndarray, "n 21 3"]
    """Projected joints, pixels of these pictures, and whether they are seen."""
    boxes: Float32[np.ndarray, "n 4"]
    captions: tuple[tuple[str, ...], ...]
    """Several wordings for each picture."""

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.images)

    @property
    def size(self) -> int:
        """Side of the pictures, pixels."""
        return self.images.shape[1]


def open_pictures(folders: Sequence[str | Path], cache: str | Path, size: int = 128, limit: int = 0) -> Pictures:
    """Pictures of data-set folders, drawn once into `cache` and memory-mapped from there.

    Args:
        folders: data sets with `COLUMNS` in parquet files, as `handloom render` and `handloom generate` write them.
        cache: folder for the arrays; one subfolder per choice of data and size.
        size: side of the pictures; larger ones are reduced.
        limit: pictures to take at most, 0 for all.

    Raises:
        FileError: a folder without parquet files, or rows without a needed column.
    """
    files = [file for folder in folders for file in parquet_files(Path(folder))]
    key = json.dumps([[str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] for file in files])
    digest = hashlib.sha256(f"{key} {size} {limit}".encode()).hexdigest()[:12]
    folder = Path(cache) / f"{size}_{digest}"
    if not folder.is_dir():
        staged = folder.with_name(f".{folder.name}")
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        _draw(files, staged, size, limit)
        staged.rename(folder)
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS}
    captions = tuple(map(tuple, open_json(folder / "captions.json")))
    return Pictures(captions=captions, **arrays)


def parquet_files(folder: Path) -> list[Path]:
    """The shards of a data set, in order.

    Raises:
        FileError: there are none.
    """
    files = sorted(folder.glob("data/*.parquet")) or sorted(folder.glob("*.parquet"))
    if not files:
        raise FileError(f"{folder} holds no parquet files; render pictures with `handloom render --out {folder}`.")
    return files


def _draw(files: Sequence[Path], folder: Path, size: int, limit: int) -> None:
    """Decode, reduce, draw the control images, and write every array."""
    total = sum(pq.ParquetFile(file).metadata.num_rows for file in files)
    count = min(limit or total, total)
    hand = HandModel.default()
    faces = hand.faces.numpy().astype(np.int32)
    shapes: dict[str, tuple[tuple[int, ...], type]] = {
        **{name: ((size, size, 3), np.uint8) for name in ("images", "mesh", "pose")},
        "is_right": ((), np.bool_),
        "hand_pose": ((45,), np.float32),
        "global_orient": ((3,), np.float32),
        "keypoints_2d": ((21, 3), np.float32),
        "boxes": ((4,), np.float32),
    }
    arrays = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=kind, shape=(count, *shape))
        for name, (shape, kind) in shapes.items()
    }
    captions: list[list[str]] = []
    for i, row in enumerate(tqdm(_rows(files, count), total=count, desc="control images", mininterval=2.0)):
        image = open_image(row["image"]["bytes"], name=f"picture {i}")
        scale = size / image.width
        mesh = row_mesh(hand, row)
        focal = float(row["focal_length"]) * scale
        joints, vertices = mesh.joints[0].double().numpy(), mesh.vertices[0].numpy()
        hidden = occluded_joints(joints, rasterize(vertices, faces, focal, None, size).depth, focal)
        keypoints = np.asarray(row["keypoints_2d"], np.float32) * np.array([scale, scale, 1], np.float32)
        arrays["images"][i] = np.asarray(image.resize((size, size), Image.Resampling.BOX) if scale != 1 else image)
        arrays["mesh"][i] = mesh_control_image(vertices, faces, focal, None, size)
        arrays["pose"][i] = pose_control_image(keypoints[:, :2], hidden, size)
        arrays["is_right"][i] = row["is_right"]
        arrays["hand_pose"][i], arrays["global_orient"][i] = row["hand_pose"], row["global_orient"]
        arrays["keypoints_2d"][i], arrays["boxes"][i] = keypoints, np.float32(row["box"]) * scale
        captions.append(list(row["captions"]))
    for array in arrays.values():
        array.flush()
    (folder / "captions.json").write_text(json.dumps(captions))


def _rows(files: Sequence[Path], count: int) -> Iterator[dict[str, Any]]:
    """The first `count` rows, a few in memory at a time."""
    left = count
    for file in files:
        table = pq.ParquetFile(file)
        missing = set(COLUMNS) - set(table.schema_arrow.names)
        if missing:
            raise FileError(f"{file} lacks the column {sorted(missing)[0]!r}, which training on pictures needs.")
        for batch in table.iter_batches(batch_size=64, columns=list(COLUMNS)):
            for row in batch.to_pylist():
                if left == 0:
                    return
                left -= 1
                yield row


def row_mesh(hand: HandModel, row: dict[str, Any]) -> Any:
    """The mesh of a row in the camera frame, metres (a `HandMesh` of one hand)."""
    betas, orient, pose, cam_t = (
        torch.tensor(row[name], dtype=torch.float32)[None] for name in ("betas", "global_orient", "hand_pose", "cam_t")
    )
    params = HandParams.from_rotvec(betas, orient, pose)
    with torch.no_grad():
        mesh = hand(params) if row["is_right"] else hand(params.mirrored()).mirrored()
    return mesh.translated(cam_t)
