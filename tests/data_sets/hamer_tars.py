"""HaMeR's training tars as WebDataset writes them: `NAME-train/000000.tar` with KEY.jpg and KEY.data.pyd."""

import io
import pickle
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.data_sets.rebuild import encoded
from tests.data_sets.truth import Truth


def labels(truth: Truth, **changes: Any) -> dict[str, Any]:
    """The dict of one hand; `changes` replaces entries."""
    points = truth.keypoints_2d[:, :2]
    low, high = points.min(0), points.max(0)
    return {
        "keypoints_2d": np.column_stack([points, np.ones(21)]).astype(np.float32),
        "keypoints_3d": np.column_stack([truth.joints, np.ones(21)]).astype(np.float32),
        "center": ((low + high) / 2).astype(np.float64),
        "scale": ((high - low) / 200).astype(np.float64),
        "hand_pose": np.concatenate([truth.global_orient, truth.hand_pose]).astype(np.float32),
        "betas": truth.betas.astype(np.float32),
        "right": np.float32(truth.is_right),
        "has_hand_pose": np.array(1.0),
        "has_betas": np.array([1.0], np.float32),
        "personid": 0,
        "extra_info": {"fitting_loss": np.array({}, dtype=object)},
        **changes,
    }


def pickled(content: Any, protocol: int = 4) -> bytes:
    """A pickle by this numpy, or (protocol 3) as a numpy before 2 wrote it."""
    data = pickle.dumps(content, protocol=protocol)
    return data.replace(b"numpy._core.", b"numpy.core.") if protocol == 3 else data


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """A member with a time of day in fractions, for which WebDataset's writer needs an extended header."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime = len(data), 1699999999.25  # type: ignore[assignment]
    archive.addfile(info, io.BytesIO(data))


def write(root: Path, pictures: Sequence[tuple[Truth, Sequence[dict[str, Any]]]], name: str = "freihand") -> Path:
    """Pictures with their lists of labels, two to a tar; every third list in another protocol."""
    folder = root / f"{name}-train"
    folder.mkdir(parents=True)
    for start in range(0, len(pictures), 2):
        with tarfile.open(folder / f"{start // 2:06d}.tar", "w", format=tarfile.PAX_FORMAT) as archive:
            for index in range(start, min(start + 2, len(pictures))):
                truth, hands = pictures[index]
                key = f"{name}-train/{index:08d}"
                add(archive, f"{key}.jpg", encoded(truth.image, "JPEG"))
                add(archive, f"{key}.data.pyd", pickled(list(hands), 3 + index % 3))
    return folder
