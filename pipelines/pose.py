"""`handloom pose TEXT`: hand meshes from a text, as .obj and .json files with a sheet to look at (000, sec. D)."""

from __future__ import annotations

import io
import logging
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pipelines.output import TextToHandMeshOutput
from pipelines.text_to_mesh import TextToHandMeshPipeline
from recon.files import FileError, write_atomic, write_json_atomic
from recon.hand.camera import project
from synth.render.control_images import mesh_control_images
from synth.render.sheet import contact_sheet

logger = logging.getLogger(__name__)

SIZE = 256
"""Side in pixels of the picture that the camera's numbers belong to."""


def pose(
    text: str,
    *,
    out: Path,
    num_samples: int = 4,
    seed: int = 0,
    pipeline: str | None = None,
    num_inference_steps: int = 10,
    guidance_scale: float = 2.0,
    top_fraction: float = 0.05,
) -> int:
    """Sample hand meshes from a text: per hand an .obj and a .json file, and a contact sheet.

    Args:
        text: what the hand does, for instance "a left hand making a fist".
        out: folder to write to.
        num_samples: number of hands.
        seed: of the first hand; the others follow.
        pipeline: folder or hub id of a text-to-mesh model; the shipped one by default.
        num_inference_steps: iterations of the sampling.
        guidance_scale: how strictly the text is followed; 1 is unguided.
        top_fraction: tokens are drawn among this share of the codes.
    """
    if num_samples < 1:
        raise FileError(f"--num-samples is {num_samples}; allowed are whole numbers from 1.")
    pipe = TextToHandMeshPipeline.from_pretrained(pipeline)
    pipe.set_progress_bar_config(disable=False)
    seeds = list(range(seed, seed + num_samples))
    hands = pipe(
        text,
        num_samples=num_samples,
        seeds=seeds,
        size=SIZE,
        num_inference_steps=num_inference_steps,
        guidance_scale=guidance_scale,
        top_fraction=top_fraction,
    )
    assert isinstance(hands, TextToHandMeshOutput)
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:40] or "hand"
    for index, mesh in enumerate(pipe.trimeshes(hands)):
        stem = f"{name}_{index:03d}"
        mesh.vertices *= [1.0, -1.0, -1.0]  # OBJ viewers have y up and look along -z
        write_atomic(out / f"{stem}.obj", str(mesh.export(file_type="obj")).encode())
        write_json_atomic(out / f"{stem}.json", {"prompt": text, "seed": seeds[index], **hand_record(hands, index)})
    write_atomic(out / "sheet.png", _png(_sheet(pipe, hands)))
    logger.info("%d hands in %s; look at %s.", num_samples, out, out / "sheet.png")
    return 0


def hand_record(hands: TextToHandMeshOutput, index: int) -> dict[str, object]:
    """One hand in the words of `reconstruct`'s JSON: rotation vectors of its own side's model, camera, joints."""
    joints = hands.meshes.joints[index] + hands.cam_t[index]
    middle = torch.full((2,), SIZE / 2)
    pixels = project(joints[None], hands.focal_length[index : index + 1], middle[None])[0]
    params = hands.params
    return {
        "is_right": bool(hands.is_right[index]),
        "width": SIZE,
        "height": SIZE,
        "betas": params.betas[index].tolist(),
        "global_orient": params.global_orient_rotvec[index].tolist(),
        "hand_pose": params.hand_pose_rotvec[index].tolist(),
        "cam_t": hands.cam_t[index].tolist(),
        "focal_length": float(hands.focal_length[index]),
        "principal_point": middle.tolist(),
        "keypoints_2d": pixels.tolist(),
        "joints": joints.tolist(),
        "confidence": float(hands.confidence[index]),
    }


def _sheet(pipe: TextToHandMeshPipeline, hands: TextToHandMeshOutput) -> np.ndarray:
    vertices = hands.meshes.translated(hands.cam_t).vertices.numpy().astype(np.float64)
    faces = pipe.hand_model.faces.numpy().astype(np.int32)
    pictures = mesh_control_images(vertices, faces, hands.focal_length.numpy().astype(np.float64), size=SIZE)
    sides = ["right" if right else "left" for right in hands.is_right.tolist()]
    captions = [f"{side}, confidence {sure:.2f}" for side, sure in zip(sides, hands.confidence.tolist(), strict=True)]
    return contact_sheet(pictures, captions, title=hands.prompts[0])


def _png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()
