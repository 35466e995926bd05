"""What the tests of readers share: a record's mesh from its parameters, a made-up basis of MANO, an encoded picture."""

import io

import numpy as np
import torch
from PIL import Image

from recon.data.reader import ManoBasis
from recon.data.record import HandRecord
from recon.hand.model import HandModel, HandParams

ROOT_JOINT = np.array([0.0957, 0.0064, 0.0062])
"""Where a hand at rest has its wrist in files that move MANO's origin instead (metres); a left hand's is mirrored."""
LEFT = np.array([-1.0, 1.0, 1.0])
_models: list[HandModel] = []


def rebuilt_joints(record: HandRecord) -> np.ndarray:
    """The 21 joints [21,3] in the camera frame that a record's parameters give with the default hand."""
    if not _models:
        _models.append(HandModel.default())
    rows = (record.betas, record.global_orient, record.hand_pose)
    assert all(row is not None for row in rows)
    params = HandParams.from_rotvec(*(torch.from_numpy(np.asarray(row, np.float32))[None] for row in rows))
    with torch.no_grad():
        joints = _models[0](params if record.is_right else params.mirrored()).joints[0].numpy()
    return (joints if record.is_right else joints * LEFT) + record.transl


def made_up_basis(seed: int = 3) -> ManoBasis:
    """An orthonormal basis of poses and a mean that is far from flat."""
    random = np.random.default_rng(seed)
    components, _ = np.linalg.qr(random.normal(size=(45, 45)))
    return ManoBasis(mean=random.uniform(-0.6, 0.6, 45), components=components)


def encoded(pixels: np.ndarray, form: str = "PNG") -> bytes:
    """A picture as a file's bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()
