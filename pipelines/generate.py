"""`handloom generate`: text prompts in, a labelled hand-image data set out (DESIGN sections 7 and 8).

Any number of processes may run this on one folder, under `accelerate launch` or each by itself: they claim shards
and need no talk, and the bytes are the same as one process writes.
"""

from pathlib import Path

from pipelines.choices import Control, Format
from pipelines.prompts import PromptError, SamplePlan, prompt_of_text, read_prompts


class GenerateError(ValueError):
    """Settings that make no data set; the message is one sentence for the user."""


def generate(
    *,
    out: Path,
    prompts: Path | None = None,
    prompt: str | None = None,
    num_images: int | None = None,
    control: Control = "mesh",
    seed: int = 0,
    pipeline: str | None = None,
    controlnet: str | None = None,
    min_confidence: float = 0.5,
    max_attempts: int = 3,
    batch_size: int = 4,
    shard_size: int = 256,
    format: Format = "parquet",  # noqa: A002
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    controlnet_conditioning_scale: float | None = None,
) -> None:
    """Generate a labelled hand-image data set from text prompts.

    Starting again with the same settings does only what is missing; a finished run is left as it is.

    Args:
        out: folder of the data set; new, empty, or that of the same run.
        prompts: text file with a prompt per line, or JSONL with "prompt" and, as you like, "seed", "control", "num".
        prompt: one prompt, instead of a file.
        num_images: how many in all, in rounds through the prompts; by default one round.
        control: what guides the painting: the shaded mesh, the 2D pose, or both.
        seed: of the run; a sample's own seed is a hash of it and of the sample's index.
        pipeline: folder or hub id of the models; by default those that ship.
        controlnet: folder or hub id of another ControlNet for the pipeline's base model.
        min_confidence: least score of MediaPipe's hand detector for a picture to be kept, 0 to 1; 0 keeps all.
        max_attempts: pictures painted for a sample before it goes to rejected.jsonl.
        batch_size: pictures painted at once; belongs to the settings that decide the bytes.
        shard_size: samples per file.
        format: parquet, webdataset (tar files) or imagefolder.
        num_inference_steps: denoising steps; by default the pipeline's.
        guidance_scale: strength of the text; by default the pipeline's.
        controlnet_conditioning_scale: strength of the control picture; by default the pipeline's.
    """
    _check(
        min_confidence, num_images=num_images, max_attempts=max_attempts, batch_size=batch_size, shard_size=shard_size
    )
    if (prompts is None) == (prompt is None):
        raise PromptError("Give either --prompts FILE or --prompt TEXT.")
    listed = read_prompts(prompts) if prompts is not None else [prompt_of_text(prompt or "")]
    samples = SamplePlan(listed, num_images, seed, control)
    painting = {
        "num_inference_steps": num_inference_steps,
        "guidance_scale": guidance_scale,
        "controlnet_conditioning_scale": controlnet_conditioning_scale,
    }
    from pipelines.generation_run import GenerationSettings, run_generation

    run_generation(
        GenerationSettings(
            out=out,
            pipeline=pipeline,
            controlnet=controlnet,
            min_confidence=min_confidence,
            max_attempts=max_attempts,
            batch_size=batch_size,
            shard_size=shard_size,
            format=format,
            painting={name: value for name, value in painting.items() if value is not None},
        ),
        samples,
    )


def _check(min_confidence: float, **counts: int | None) -> None:
    """Numbers that cannot be meant.

    Raises:
        GenerateError: names the flag, its value and what is allowed.
    """
    for name, value in counts.items():
        if value is not None and value < 1:
            raise GenerateError(f"--{name.replace('_', '-')} is {value}; allowed are whole numbers from 1.")
    if not 0 <= min_confidence <= 1:
        raise GenerateError(f"--min-confidence is {min_confidence}; allowed is 0 to 1.")
