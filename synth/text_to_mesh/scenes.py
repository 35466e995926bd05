"""The rendered world's scenes as numbers and caption tokens, without a pixel: what the models of pose learn from."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from recon.files import open_npz
from recon.hand.model import HandModel, HandParams
from recon.mmhmr.poses import Pose
from synth.handclip.tokenizer import tokenize
from synth.text_to_mesh.placement import placement_of
from synth.world.poses import POSES
from synth.world.world import World

logger = logging.getLogger(__name__)

CHUNK = 500
POSE_NAMES = tuple(POSES)


class TextPose(TypedDict):
    """A hand and one of its captions."""

    betas: Float[Tensor, " 10"]
    global_orient: Float[Tensor, " 3"]
    hand_pose: Float[Tensor, " 45"]
    placement: Float[Tensor, " 4"]
    is_right: Bool[Tensor, ""]
    text: Int64[Tensor, " 64"]


class SceneTable:
    """Arrays of `count` scenes of `World(seed, split=split)`, made once and kept in `cache`.

    Args:
        count: number of scenes.
        seed: of the world.
        split: of the world.
        cache: npz to keep them in; "" keeps nothing. A file of other scenes is replaced.
        processes: workers that make them; the arrays are the same for any number.
    """

    def __init__(
        self, count: int, seed: int = 0, split: str = "train", cache: str | Path = "", processes: int | None = None
    ) -> None:
        self.count, self.seed, self.split = count, seed, split
        first = make_scenes(seed, split, 0, min(32, count))
        digest = hashlib.sha256(repr((count, seed, split)).encode())
        for name in sorted(first):
            digest.update(np.ascontiguousarray(first[name]).tobytes())
        self.digest = digest.hexdigest()
        path = Path(cache)
        if cache and path.is_file():
            arrays = open_npz(path, (*first, "digest"))
            if str(arrays.pop("digest")) == self.digest:
                self.arrays = {name: arrays[name] for name in first}
                return
            logger.warning("%s holds other scenes; they are made anew.", path)
        self.arrays = self._make(processes or os.cpu_count() or 1)
        if cache:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.stem}.part.npz")
            np.savez(temporary, digest=np.array(self.digest), **self.arrays)  # type: ignore[arg-type]
            temporary.replace(path)

    def _make(self, processes: int) -> dict[str, np.ndarray]:
        starts = range(0, self.count, CHUNK)
        stops = [min(start + CHUNK, self.count) for start in starts]
        same = (([self.seed] * len(stops)), ([self.split] * len(stops)), starts, stops)
        if processes == 1 or len(stops) == 1:
            parts = [make_scenes(*work) for work in zip(*same, strict=True)]
        else:
            with ProcessPoolExecutor(processes) as pool:
                parts = list(tqdm(pool.map(make_scenes, *same), total=len(stops), desc="scenes", unit_scale=CHUNK))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def make_scenes(seed: int, split: str, start: int, stop: int) -> dict[str, np.ndarray]:
    """Arrays of scenes `start` .. `stop`.

    Returns:
        `betas` [n,10], `global_orient` [n,3] and `hand_pose` [n,45] (rotation vectors of the right-hand form),
        `placement` [n,4] of that form, `is_right` [n], `pose` [n] (index into `POSE_NAMES`, -1 for unnamed ones),
        `text` [n,captions,64] (HandCLIP tokens).
    """
    torch.set_num_threads(1)
    world = World(seed, split=split)
    scenes = [world.scene(index) for index in range(start, stop)]
    params = HandParams(
        betas=torch.cat([scene.params.betas for scene in scenes]),
        global_orient=torch.cat([scene.params.global_orient for scene in scenes]),
        hand_pose=torch.cat([scene.params.hand_pose for scene in scenes]),
    )
    is_right = np.array([scene.is_right for scene in scenes])
    cam_t = torch.from_numpy(np.stack([scene.cam_t for scene in scenes])).float()
    cam_t[:, 0] *= torch.from_numpy(np.where(is_right, 1.0, -1.0)).float()
    focal_length = torch.tensor([scene.focal_length / scene.size for scene in scenes])
    with torch.no_grad():
        joints = _hand()(params).joints
    captions = [caption for scene in scenes for caption in scene.captions]
    return {
        "betas": params.betas.numpy(),
        "global_orient": params.global_orient_rotvec.numpy(),
        "hand_pose": params.hand_pose_rotvec.numpy(),
        "placement": placement_of(joints, cam_t, focal_length).numpy(),
        "is_right": is_right,
        "pose": np.array([POSE_NAMES.index(s.pose_name) if s.pose_name else -1 for s in scenes], np.int16),
        "text": tokenize(captions).numpy().astype(np.uint16).reshape(len(scenes), -1, 64),
    }


@functools.cache
def _hand() -> HandModel:
    return HandModel.default()


class ScenePoses(Dataset):
    """Hands of the rendered world, for VQ-MANO.

    Args:
        count: number of scenes.
        seed: of the world.
        split: of the world.
        cache: npz to keep them in.
    """

    def __init__(self, count: int, seed: int = 0, split: str = "train", cache: str | Path = "") -> None:
        table = SceneTable(count, seed, split, cache)
        self.arrays = {name: torch.from_numpy(table.arrays[name]) for name in ("betas", "global_orient", "hand_pose")}

    def __len__(self) -> int:
        """Number of hands."""
        return len(self.arrays["betas"])

    def __getitem__(self, index: int) -> Pose:
        """Hand `index`."""
        values = {name: array[index] for name, array in self.arrays.items()}
        return Pose(betas=values["betas"], global_orient=values["global_orient"], hand_pose=values["hand_pose"])


class SceneTexts(Dataset):
    """Hands of the rendered world, once with each of their captions.

    Args:
        count: number of scenes.
        seed: of the world.
        split: of the world.
        cache: npz to keep them in.
    """

    def __init__(self, count: int, seed: int = 0, split: str = "train", cache: str | Path = "") -> None:
        table = SceneTable(count, seed, split, cache)
        self.arrays = {name: torch.from_numpy(array) for name, array in table.arrays.items() if name != "text"}
        self.text = table.arrays["text"]

    def __len__(self) -> int:
        """Number of captions."""
        return self.text.shape[0] * self.text.shape[1]

    def __getitem__(self, index: int) -> TextPose:
        """Caption `index`: scene by scene."""
        scene, caption = divmod(index, self.text.shape[1])
        arrays = self.arrays
        return TextPose(
            betas=arrays["betas"][scene],
            global_orient=arrays["global_orient"][scene],
            hand_pose=arrays["hand_pose"][scene],
            placement=arrays["placement"][scene],
            is_right=arrays["is_right"][scene],
            text=torch.from_numpy(self.text[scene, caption].astype(np.int64)),
        )
