"""Hand pictures one after the other, with what is known of the hand: from run folders, parquet files, image folders.

A run folder's rows (DESIGN section 8) say where the hand is: its box, its projected joints, and, through its MANO
parameters, its mask. Pictures of an ordinary folder come without.
"""

import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from datasets import Features, Image
from jaxtyping import Bool, Float32, UInt8

from pipelines.shards import Format, read_shard
from recon.files import FileError, open_image, open_json
from recon.hand.model import HandModel, HandParams
from synth.render.rasterizer import control_maps

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
HAND_COLUMNS = ("is_right", "betas", "global_orient", "hand_pose", "cam_t", "focal_length")
COLUMNS = ("sample_id", "image", "mask", "box", "keypoints_2d", *HAND_COLUMNS)


@dataclass(frozen=True)
class HandPicture:
    """One picture and what is known of the hand in it."""

    name: str
    image: UInt8[np.ndarray, "h w 3"]
    box: Float32[np.ndarray, "4"] | None = None
    """x0, y0, x1, y1 of the hand, pixels."""
    keypoints_2d: Float32[np.ndarray, "21 2"] | None = None
    """Projected joints of the mesh, pixels."""
    mask: Bool[np.ndarray, "h w"] | None = None
    """Where the hand is."""


@dataclass(frozen=True)
class PictureFolder:
    """Where the pictures of a folder lie: shards of one format, or single image files."""

    path: Path
    shards: tuple[tuple[Path, Format], ...]
    files: tuple[Path, ...]
    count: int


def find_pictures(folder: str | Path) -> PictureFolder:
    """Look through a folder without reading any picture.

    Args:
        folder: a run folder (`manifest.json`), a folder of parquet files (itself or its `data/`), or a folder of PNG,
            JPEG and WEBP files at any depth.

    Raises:
        FileError: it does not exist or holds no picture.
    """
    path = Path(folder)
    if not path.is_dir():
        raise FileError(f"{path} is not a folder; give a run folder or a folder of images.")
    if (path / "manifest.json").is_file():
        manifest = open_json(path / "manifest.json")
        try:
            entries = [entry for entry in manifest["shards"] if entry["file"]]
            shards = tuple((_inside(path, entry["file"]), manifest["format"]) for entry in entries)
            count = sum(int(entry["rows"]) for entry in entries)
        except (KeyError, TypeError, ValueError) as error:
            raise FileError(f"{path / 'manifest.json'} is no manifest of a run ({error!r}).") from error
        found = PictureFolder(path, shards, (), count)
    elif parquet := sorted([*path.glob("*.parquet"), *path.glob("data/*.parquet")]):
        count = sum(_parquet(file).metadata.num_rows for file in parquet)
        found = PictureFolder(path, tuple((file, "parquet") for file in parquet), (), count)
    else:
        files = tuple(file for file in sorted(path.rglob("*")) if file.suffix.lower() in IMAGE_SUFFIXES)
        found = PictureFolder(path, (), files, len(files))
    if not found.count:
        raise FileError(f"{path} holds no pictures; allowed are runs, parquet files and {', '.join(IMAGE_SUFFIXES)}.")
    return found


def read_pictures(folder: PictureFolder, hand: HandModel | None = None) -> Iterator[HandPicture]:
    """The pictures, one in memory at a time.

    Args:
        folder: from `find_pictures`.
        hand: the model the rows were made with, for the masks; the default hand when absent.

    Raises:
        FileError: a shard or picture is missing, damaged or not of the known form.
    """
    for file in folder.files:
        yield HandPicture(file.relative_to(folder.path).as_posix(), np.asarray(open_image(file)))
    hand = hand if hand is not None or not folder.shards else HandModel.default()
    for path, fmt in folder.shards:
        for row in _rows(path, fmt):
            yield picture_of_row(row, hand, f"{path}[{row.get('sample_id')}]")


def _inside(folder: Path, name: str) -> Path:
    """A shard's path; ValueError when it leads out of the folder."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(name)
    return folder / name


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, ValueError) as error:  # pyarrow's own errors are subclasses of these
        raise FileError(f"{path} is not a readable parquet file.") from error


def _rows(path: Path, fmt: Format) -> Iterator[dict[str, Any]]:
    """The rows of a shard with the columns we know, as far as they are there."""
    features = Features(image=Image(), control=Image(), mask=Image())
    columns: Sequence[str] = COLUMNS
    if not path.exists():
        raise FileError(f"{path} is missing; the run that made it can be given again to make it anew.")
    if fmt == "parquet":
        schema = _parquet(path).schema_arrow
        columns = [name for name in COLUMNS if name in schema.names]
    elif fmt == "imagefolder":
        with (path / "metadata.jsonl").open(encoding="utf-8") as lines:
            first = json.loads(lines.readline())
        there = {"image" if name == "file_name" else name.removesuffix("_file_name") for name in first}
        columns = [name for name in COLUMNS if name in there]
    if "image" not in columns:
        raise FileError(f"{path} has no column 'image'.")
    try:
        yield from read_shard(path, features, fmt, columns)
    except FileError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, tarfile.TarError) as error:
        raise FileError(f"{path} is damaged or not a shard of pictures ({error}).") from error


def picture_of_row(row: Mapping[str, Any], hand: HandModel | None, name: str) -> HandPicture:
    """A picture from a row of a run folder; columns that are missing or null leave their field None.

    Args:
        row: `image` as encoded bytes, and any of the other columns of DESIGN section 8.
        hand: draws the mask from the row's parameters; None for no mask.
        name: what messages call the row.
    """
    image = np.asarray(open_image(row["image"], name=name))
    box, keypoints, mask = row.get("box"), row.get("keypoints_2d"), row.get("mask")
    hand_mask = None
    if mask is not None:
        hand_mask = np.asarray(open_image(mask, name=f"{name}.mask"))[..., 0] > 127
    elif hand is not None and all(row.get(column) is not None for column in HAND_COLUMNS):
        hand_mask = _mask_of_row(row, hand, image.shape[:2])
    return HandPicture(
        name,
        image,
        None if box is None else np.asarray(box, np.float32),
        None if keypoints is None else np.asarray(keypoints, np.float32)[:, :2],
        hand_mask,
    )


def _mask_of_row(row: Mapping[str, Any], hand: HandModel, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """The mask of a row's hand, drawn with the principal point at the image's centre."""

    def batch(column: str) -> torch.Tensor:
        return torch.tensor(row[column], dtype=torch.float32).reshape(1, -1)

    params = HandParams.from_rotvec(batch("betas"), batch("global_orient"), batch("hand_pose"))
    with torch.inference_mode():
        mesh = hand(params) if row["is_right"] else hand(params.mirrored()).mirrored()
        vertices = mesh.translated(batch("cam_t")).vertices[0].numpy()
    maps = control_maps(
        vertices, hand.faces.numpy(), hand.part_of_vertex.numpy(), float(row["focal_length"]), size=size
    )
    return maps.mask
