"""Text -> hand mesh -> control picture -> painted hand: the two pipelines chained (MMHMR section 3.5 and D).

from pipelines import TextToHandImagePipeline

pipe = TextToHandImagePipeline.from_pretrained()
output = pipe("a left hand making a fist", num_samples=4, seeds=[0, 1, 2, 3])
output.images[0].save("fist.png")
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import nn

from pipelines.choices import Control
from pipelines.controls import DrawnHands, draw_hands
from pipelines.mesh_to_image import HandControlNetPipeline
from pipelines.output import HandImageOutput, TextToHandImageOutput, TextToHandMeshOutput
from pipelines.prompt_check import known_tokens, prompt_warnings
from pipelines.text_to_mesh import TextToHandMeshPipeline
from recon.files import FileError

MESH_FOLDER, IMAGE_FOLDER = "text_to_mesh", "mesh_to_image"  # of a saved pipeline
PAINT_SEED = 0x5EED  # flips bits of the seed, so that the painting draws other numbers than the mesh


class TextToHandImagePipeline:
    """Chains `TextToHandMeshPipeline` and `HandControlNetPipeline`.

    Args:
        text_to_mesh: samples hands.
        mesh_to_image: paints them.
    """

    def __init__(self, text_to_mesh: TextToHandMeshPipeline, mesh_to_image: HandControlNetPipeline) -> None:
        self.text_to_mesh, self.mesh_to_image = text_to_mesh, mesh_to_image

    @classmethod
    def from_pretrained(cls, path: str | Path | None = None, **kwargs: Any) -> "TextToHandImagePipeline":
        """The shipped models, or those of a folder or hub id.

        Args:
            path: a folder that `save_pretrained` wrote, or a folder or hub id of a base model for
                `HandControlNetPipeline`; where it has no `text_to_mesh/`, the shipped model samples the hands.
            kwargs: for `HandControlNetPipeline.from_pretrained`, such as `controlnet` and `torch_dtype`.

        Raises:
            FileError: no such pipeline.
        """
        if path is None:
            return cls(TextToHandMeshPipeline.from_pretrained(), HandControlNetPipeline.from_pretrained(**kwargs))
        folder = Path(path)
        mesh, image = folder / MESH_FOLDER, folder / IMAGE_FOLDER
        if folder.exists() and not any((folder / name).exists() for name in (IMAGE_FOLDER, "base", "model_index.json")):
            raise FileError(f"{path} is no pipeline: it holds neither {IMAGE_FOLDER}, nor base, nor model_index.json.")
        return cls(
            TextToHandMeshPipeline.from_pretrained(mesh if mesh.is_dir() else None),
            HandControlNetPipeline.from_pretrained(image if image.is_dir() else path, **kwargs),
        )

    def save_pretrained(self, folder: str | Path) -> None:
        """Write both pipelines into one folder, for `from_pretrained` and `handloom generate --pipeline`."""
        self.text_to_mesh.save_pretrained(Path(folder) / MESH_FOLDER)
        self.mesh_to_image.save_pretrained(Path(folder) / IMAGE_FOLDER)

    def to(self, device: str | torch.device) -> "TextToHandImagePipeline":
        """Move both pipelines."""
        self.text_to_mesh.to(device)
        self.mesh_to_image.to(device)
        return self

    def set_progress_bar_config(self, **kwargs: Any) -> None:
        """Settings of the painting's progress bar, such as `disable=True`."""
        self.mesh_to_image.set_progress_bar_config(**kwargs)

    def sample_hands(self, prompts: Sequence[str], seeds: Sequence[int], size: int) -> TextToHandMeshOutput:
        """Step 1: a hand per prompt, seen in a picture of `size` pixels."""
        hands = self.text_to_mesh(list(prompts), num_samples=1, seeds=list(seeds), size=size)
        return cast(TextToHandMeshOutput, hands)

    def draw_controls(self, hands: TextToHandMeshOutput, size: int) -> DrawnHands:
        """Step 2: control pictures and labels."""
        return draw_hands(hands, self.text_to_mesh.hand_model, size)

    def paint(
        self, prompts: Sequence[str], seeds: Sequence[int], drawn: DrawnHands, control: Control, **kwargs: Any
    ) -> Any:
        """Step 3: a picture per control picture, noise from one generator per seed."""
        shown = {"mesh": drawn.mesh, "pose": drawn.pose}
        pictures = np.concatenate([shown[name] for name in control.split("+")], axis=-1)
        generators = [torch.Generator("cpu").manual_seed(seed ^ PAINT_SEED) for seed in seeds]
        output = self.mesh_to_image(
            prompt=list(prompts), control_image=pictures, control=control, generator=generators, **kwargs
        )
        return cast(HandImageOutput, output).images

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        num_samples: int = 1,
        control: Control = "mesh",
        seeds: Sequence[int] | None = None,
        generator: torch.Generator | None = None,
        output_type: Literal["pil", "np", "pt"] = "pil",
        callback_on_step_end: Callable[..., Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> TextToHandImageOutput:
        """Generate hand pictures with their labels.

        Args:
            prompt: one text or several.
            num_samples: pictures per text; those of one text follow each other.
            control: what guides the painting.
            seeds: one per picture; equal seeds in an equal batch give equal pictures.
            generator: draws the seeds when none are given.
            output_type: form of the images.
            callback_on_step_end: after each denoising step, as in Diffusers.
            kwargs: for `HandControlNetPipeline`, such as `num_inference_steps` and `guidance_scale`.

        Raises:
            ValueError: no text, or another number of seeds than of pictures.
        """
        prompts, seeds = self.check_inputs(prompt, num_samples, seeds, generator)
        size = self.mesh_to_image.image_size
        hands = self.sample_hands(prompts, seeds, size)
        drawn = self.draw_controls(hands, size)
        images = self.paint(
            prompts, seeds, drawn, control, output_type=output_type, callback_on_step_end=callback_on_step_end, **kwargs
        )
        controls = np.stack([drawn.shown(index, control) for index in range(len(prompts))])
        return TextToHandImageOutput(images, controls, hands, drawn.keypoints_2d, drawn.joints, drawn.boxes)

    def check_inputs(
        self,
        prompt: str | Sequence[str],
        num_samples: int,
        seeds: Sequence[int] | None,
        generator: torch.Generator | None,
    ) -> tuple[list[str], list[int]]:
        """Step 0: a prompt and a seed per picture."""
        texts = [prompt] if isinstance(prompt, str) else list(prompt)
        if not texts or num_samples < 1:
            raise ValueError(f"{len(texts)} prompts with {num_samples} samples each make no picture; give at least 1.")
        prompts = [text for text in texts for _ in range(num_samples)]
        if seeds is None:
            seeds = torch.randint(2**63 - 1, (len(prompts),), generator=generator).tolist()
        if len(seeds) != len(prompts):
            raise ValueError(f"There are {len(seeds)} seeds for {len(prompts)} pictures; give one per picture.")
        return prompts, list(seeds)

    def unread(self, prompts: Sequence[str]) -> list[str]:
        """Sentences about what the text model cannot take in: unknown words, texts that are too long."""
        embeddings = self.mesh_to_image.text_encoder.get_input_embeddings().weight
        return prompt_warnings(prompts, self.mesh_to_image.tokenizer, known_tokens(embeddings))

    def fingerprints(self) -> dict[str, str]:
        """A hash of the weights of each model, and that of the hand."""
        parts = {"text_to_mesh": self.text_to_mesh.components, "mesh_to_image": self.mesh_to_image.components}
        found = {
            f"{part}.{name}": weights_fingerprint(module)
            for part, components in parts.items()
            for name, module in sorted(components.items())
            if isinstance(module, nn.Module)
        }
        return {**found, "hand": self.text_to_mesh.hand_model.fingerprint}

    def fingerprint(self) -> str:
        """One hash for all of `fingerprints`, as rows carry it."""
        return hashlib.sha256(repr(sorted(self.fingerprints().items())).encode()).hexdigest()[:16]


def weights_fingerprint(module: nn.Module) -> str:
    """First 16 hex digits of the sha256 over names, shapes, types and bytes of a model's parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {tuple(array.shape)} {array.dtype}".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
