"""The rendered world as a data set: columns, a sample as a row, the reader for training (DESIGN section 8)."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Image, List, Value
from jaxtyping import Shaped, UInt8
from PIL import Image as PillowImage

from recon.data.record import floats
from synth.world.sample import WorldSample

DEPTH_UNIT = 1e-4
"""Metres per step of the depth pictures."""
IMAGE_COLUMNS = ("image", "mask", "depth", "part_ids")


FEATURES = Features(
    {
        "sample_id": Value("string"),
        "image": Image(),
        "caption": Value("string"),
        "captions": List(Value("string")),
        "pose_name": Value("string"),
        "palm": Value("string"),
        "skin": Value("string"),
        "light": Value("string"),
        "background": Value("string"),
        "sleeve": Value("string"),
        "is_right": Value("bool"),
        "betas": floats(10),
        "global_orient": floats(3),
        "hand_pose": floats(45),
        "cam_t": floats(3),
        "focal_length": Value("float32"),
        "keypoints_2d": floats(21, 3),
        "joints": floats(21, 3),
        "box": floats(4),
        "mask": Image(),
        "depth": Image(),
        "part_ids": Image(),
    }
)

COLUMNS = {
    "sample_id": "split, seed and index of the sample",
    "image": "the rendered picture",
    "caption": "the most complete wording",
    "captions": "ten exact wordings, the shortest first",
    "pose_name": "name in the pose library, empty for blended and random poses",
    "palm": "side of the hand towards the camera",
    "skin": "skin tone in words",
    "light": "light in words",
    "background": "background in words",
    "sleeve": "sleeve or bare forearm in words",
    "is_right": "side of the hand",
    "betas": "MANO shape [10]",
    "global_orient": "rotation vector of the wrist in the camera frame [3], radians; a left hand's of the left model",
    "hand_pose": "rotation vectors of the 15 finger joints [45], MANO's order, flat mean; likewise",
    "cam_t": "the wrist in the camera frame [3], metres; OpenCV axes (x right, y down, z forward)",
    "focal_length": "pixels; the principal point is the picture's centre",
    "keypoints_2d": "projected joints [21][3]: x, y in pixels, 1 where seen, 0 where hidden or outside",
    "joints": "3D joints [21][3], camera frame, metres; wrist, thumb, index, middle, ring, little, base to tip",
    "box": "x0, y0, x1, y1 around the mesh, pixels",
    "mask": "255 where the hand itself is seen",
    "depth": f"16 bits, {DEPTH_UNIT:g} metres a step, 0 outside the mask",
    "part_ids": "1 + MANO joint of the part, 0 outside the mask",
}


def world_row(sample: WorldSample) -> dict[str, Any]:
    """A sample as a row of `FEATURES`, pictures as arrays."""
    scene, params = sample.scene, sample.scene.row_params
    steps = np.round(sample.depth / DEPTH_UNIT)
    return {
        "sample_id": scene.sample_id,
        "image": sample.image,
        "caption": scene.captions[-1],
        "captions": list(scene.captions),
        "pose_name": scene.pose_name,
        "palm": scene.palm,
        "skin": scene.skin.words[0],
        "light": scene.light.words[0],
        "background": scene.background.words[0],
        "sleeve": scene.forearm.words[0],
        "is_right": scene.is_right,
        "betas": params.betas[0].numpy(),
        "global_orient": params.global_orient_rotvec[0].numpy(),
        "hand_pose": params.hand_pose_rotvec[0].numpy(),
        "cam_t": scene.cam_t.astype(np.float32),
        "focal_length": scene.focal_length,
        "keypoints_2d": sample.keypoints_2d,
        "joints": sample.joints_cam,
        "box": sample.box,
        "mask": sample.mask.astype(np.uint8) * 255,
        "depth": np.minimum(steps, 65535).astype(np.uint16),
        "part_ids": sample.part_ids,
    }


class WorldRecords:
    """A folder written by `handloom render` with parquet shards, held in memory, pictures still packed."""

    def __init__(self, folder: str | Path, columns: Sequence[str] | None = None) -> None:
        """Open a data set.

        Args:
            folder: the run folder.
            columns: what to load; everything when absent.

        Raises:
            ValueError: the folder holds no parquet shards.
        """
        self.folder = Path(folder)
        files = sorted((self.folder / "data").glob("*.parquet"))
        if not files:
            raise ValueError(
                f"{self.folder} holds no data/*.parquet; make it with `handloom render --out {self.folder}`"
            )
        names = None if columns is None else list(columns)
        self.table = pa.concat_tables([pq.read_table(file, columns=names) for file in files])

    def __len__(self) -> int:
        return self.table.num_rows

    def column(self, name: str) -> Shaped[np.ndarray, "n *shape"]:
        """All values of a column of numbers as one array, or of texts as an array of objects."""
        values = self.table.column(name).to_pylist()
        kind = self.table.schema.field(name).type
        return np.array(values, dtype=object if pa.types.is_string(kind) else None)

    def image(self, index: int, name: str = "image") -> Shaped[np.ndarray, "h w *c"]:
        """A picture: `image` and the maps of `IMAGE_COLUMNS` as stored."""
        cell = self.table.column(name)[index].as_py()
        return np.asarray(PillowImage.open(io.BytesIO(cell["bytes"])))

    def images(self) -> UInt8[np.ndarray, "n h w 3"]:
        """All pictures, unpacked."""
        return np.stack([self.image(index) for index in range(len(self))])

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.table.slice(index, 1).to_pylist()[0]
        for name in IMAGE_COLUMNS:
            if row.get(name) is not None:
                row[name] = np.asarray(PillowImage.open(io.BytesIO(row[name]["bytes"])))
        return row
