"""How well the painter paints: held-out rendered hands, painted anew from their own mesh and caption (MMHMR table 13).

Found, where asked for, as sharp, close in distribution: all beside the same figures of the rendered pictures.

    python -m pipelines.measure_generation --data build/world/test --out build/measured
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import jsonargparse
import numpy as np
import torch
from jaxtyping import UInt8
from tqdm.auto import tqdm

from pipelines.choices import Control
from pipelines.extractors import load_extractor
from pipelines.generation_scores import GenerationScores, compare
from pipelines.hand_pictures import HandPicture
from pipelines.mesh_to_image import HandControlNetPipeline
from pipelines.output import HandImageOutput
from pipelines.set_meter import measure
from pipelines.shards import png_bytes
from recon.detection import HandDetector
from recon.files import write_atomic, write_json_atomic
from synth.pictures import Pictures, open_pictures
from synth.render.sheet import contact_sheet

log = logging.getLogger(__name__)

SHOWN = 12


def measure_generation(
    *,
    data: Sequence[Path],
    out: Path,
    num_images: int = 300,
    size: int = 128,
    control: Control = "mesh",
    pipeline: str | None = None,
    controlnet: str | None = None,
    num_inference_steps: int = 20,
    guidance_scale: float = 1.6,
    batch_size: int = 16,
    seed: int = 0,
) -> int:
    """Paint held-out hands and measure the pictures beside the rendered ones.

    Args:
        data: rendered folders of the test split.
        out: where `scores.json`, `scores.md` and `sheet.png` (controls, painted, rendered) go.
        num_images: pictures, from the start of the data.
        size: side of the pictures.
        control: what guides.
        pipeline: folder or hub id of the base model; the shipped one by default.
        controlnet: folder or hub id of the ControlNet; the base's own by default.
        num_inference_steps: denoising steps.
        guidance_scale: of text and control.
        batch_size: pictures painted at once.
        seed: picture i is painted from the noise of seed + i, its caption is wording i of those it has.
    """
    pictures = open_pictures(data, out / "pictures", size, num_images)
    pipe = HandControlNetPipeline.from_pretrained(pipeline, controlnet)
    pipe.set_progress_bar_config(disable=True)
    settings = {"num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale}
    painted = [
        paint(pipe, pictures, range(start, min(start + batch_size, len(pictures))), control, seed, **settings)
        for start in tqdm(range(0, len(pictures), batch_size), desc=control, unit="batch", disable=None)
    ]
    scores = score_painted(pictures, np.concatenate(painted))
    facts = {"control": control, "seed": seed, **settings}
    write_json_atomic(out / "scores.json", {**facts, **scores.as_dict()})
    write_atomic(out / "scores.md", scores.markdown().encode())
    shown = (pictures.mesh, pictures.pose, np.concatenate(painted), pictures.images)
    tiles = [picture for row in shown for picture in row[:SHOWN]]
    write_atomic(out / "sheet.png", png_bytes(contact_sheet(tiles, columns=min(SHOWN, len(pictures)), tile=size)))
    log.info("%s", scores.markdown())
    return 0


def paint(
    pipe: HandControlNetPipeline,
    pictures: Pictures,
    indices: Sequence[int],
    control: Control,
    seed: int,
    **settings: Any,
) -> UInt8[np.ndarray, "n s s 3"]:
    """Paint the hands of some held-out pictures from their control pictures and captions."""
    shown = {"mesh": pictures.mesh, "pose": pictures.pose}
    rows = list(indices)
    controls = np.concatenate([shown[name][rows] for name in control.split("+")], axis=-1)
    prompts = [pictures.captions[i][i % len(pictures.captions[i])] for i in rows]
    generators = [torch.Generator().manual_seed(seed + i) for i in rows]
    output = pipe(prompts, controls, control, generator=generators, output_type="np", **settings)
    return (np.asarray(cast(HandImageOutput, output).images) * 255).round().astype(np.uint8)


def score_painted(pictures: Pictures, painted: UInt8[np.ndarray, "n s s 3"]) -> GenerationScores:
    """Detection, PCK, sharpness, KID-H and FID-H (extractor handclip) of painted pictures beside the rendered ones."""
    extractor, detector = load_extractor("handclip"), HandDetector()
    ours = measure(known(pictures, painted), extractor, detector, "painted")
    return compare(ours, measure(known(pictures, pictures.images), extractor, detector, "rendered"))


def known(pictures: Pictures, images: UInt8[np.ndarray, "n s s 3"]) -> Iterator[HandPicture]:
    """Pictures with what is known of the hands that they were asked to show."""
    for index, image in enumerate(images):
        yield HandPicture(
            name=str(index),
            image=np.array(image),
            box=np.array(pictures.boxes[index]),
            keypoints_2d=np.array(pictures.keypoints_2d[index, :, :2]),
            mask=pictures.mesh[index].any(-1),
        )


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    jsonargparse.CLI(measure_generation, as_positional=False)
