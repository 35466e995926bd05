"""Training of a ControlNet on a pretrained base of the Stable Diffusion 1.5 class (MMHMR sections B and H).

The base is frozen, the ControlNet starts as a copy of its UNet's encoder, with its last convolutions at zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import ControlNetModel, StableDiffusionPipeline
from jaxtyping import Float
from torch import Tensor

from recon.files import FileError
from recon.training import TrainingTask
from synth.controlnet.autoencoder_task import to_pixels
from synth.controlnet.networks import CONTROL_CHANNELS
from synth.controlnet.task import Controlled, ControlNetTask
from synth.pictures import open_pictures


class PretrainedControlNetTask(ControlNetTask):
    """A ControlNet that learns on a frozen base.

    Args:
        data: data-set folders.
        held_out: folders of the validation pictures.
        cache: where the pictures' arrays are kept.
        base: folder or hub id of the base model.
        size: side of the pictures.
        drop_caption: share of samples without caption.
        drop_one_control: share of samples without the mesh picture, and likewise without the pose picture.
        drop_controls: share of samples without any.
        steps: denoising steps of the validation pictures.
    """

    def __init__(
        self,
        data: Sequence[Path],
        held_out: Sequence[Path],
        cache: Path,
        base: str,
        size: int = 256,
        drop_caption: float = 0.1,
        drop_one_control: float = 0.15,
        drop_controls: float = 0.05,
        steps: int = 20,
    ) -> None:
        TrainingTask.__init__(self)
        self.drop_caption, self.drop_one_control, self.drop_controls = drop_caption, drop_one_control, drop_controls
        self.steps, self.hand_weight = steps, 1.0
        try:
            pipeline = StableDiffusionPipeline.from_pretrained(
                base, use_safetensors=True, torch_dtype=torch.float32, safety_checker=None
            )
        except OSError as error:
            raise FileError(
                f"{base} is neither a Diffusers folder nor a hub id that can be reached; Stable Diffusion 1.5 is "
                "stable-diffusion-v1-5/stable-diffusion-v1-5 (CreativeML Open RAIL-M licence)."
            ) from error
        self.vae, self.unet = pipeline.vae.requires_grad_(False), pipeline.unet.requires_grad_(False)
        self.text, self.tokenizer = pipeline.text_encoder.requires_grad_(False), pipeline.tokenizer
        self.scheduler = pipeline.scheduler
        self.controlnet = ControlNetModel.from_unet(self.unet, conditioning_channels=CONTROL_CHANNELS)
        pictures, self.held_out = open_pictures(data, cache, size), open_pictures(held_out, cache, size)
        self.train_set = Controlled(pictures, self.encode(pictures.images), self.to_tokens)
        self._remember_schedule()

    def to_tokens(self, texts: list[str]) -> Tensor:
        """Token numbers [b,n] of texts, padded and cut to the text encoder's length."""
        return self.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids

    def hidden_states(self, tokens: Tensor) -> Float[Tensor, "b n w"]:
        """What the UNet attends to."""
        return self.text(tokens)[0]

    @torch.no_grad()
    def encode(self, images: np.ndarray) -> Float[Tensor, "n c h w"]:
        """Means of the autoencoder's posterior, scaled; float16."""
        parts = torch.arange(len(images)).split(8)
        pixels = (to_pixels(torch.from_numpy(images[part.numpy()])).to(self.vae.device) for part in parts)
        scale = self.vae.config.scaling_factor
        return torch.cat([(scale * self.vae.encode(part).latent_dist.mode()).half().cpu() for part in pixels])

    def save_pretrained(self, folder: Path) -> None:
        """Write the ControlNet alone, in half precision."""
        self.controlnet.half().save_pretrained(folder / "controlnet", safe_serialization=True)
        self.controlnet.float()
