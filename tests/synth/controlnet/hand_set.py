"""A tiny data set of posed hands on disk, whose pictures are their own mesh control images."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pipelines.shards import png_bytes
from recon.hand.camera import project
from recon.hand.model import HandModel
from synth.pictures import row_mesh
from synth.render.control_images import mesh_control_image

FOCAL = 160.0


def write_hands(folder: Path, count: int = 4, size: int = 64) -> Path:
    """`count` hands, right and left in turn, in `folder`/data, as `handloom render` lays them out."""
    hand, rng = HandModel.default(), np.random.default_rng(0)
    rows = []
    for index in range(count):
        row = {
            "captions": [f"a {word} hand" for word in ("small", "right" if index % 2 else "left", "posed")],
            "is_right": bool(index % 2),
            "betas": [0.0] * 10,
            "global_orient": rng.normal(0, 0.3, 3).tolist(),
            "hand_pose": rng.normal(0, 0.1, 45).tolist(),
            "cam_t": [0.0, 0.0, 0.6],
            "focal_length": FOCAL,
            "box": [10.0, 10.0, 50.0, 50.0],
        }
        mesh = row_mesh(hand, row)
        pixels = project(mesh.joints[0], torch.tensor(FOCAL), torch.full((2,), size / 2)).numpy()
        image = mesh_control_image(mesh.vertices[0].numpy(), hand.faces.numpy(), FOCAL, None, size)
        row["keypoints_2d"] = np.concatenate([pixels, np.ones((21, 1))], 1).tolist()
        row["image"] = {"bytes": png_bytes(image), "path": None}
        rows.append(row)
    (folder / "data").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "data" / "train-00000-of-00001.parquet")
    return folder
