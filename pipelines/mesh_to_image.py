"""Hand mesh -> picture: Stable Diffusion under a ControlNet that sees the mesh, the 2D pose, or both (MMHMR section H).

from pipelines import HandControlNetPipeline

pipe = HandControlNetPipeline.from_pretrained()
picture = pipe("a right fist", control_image=drawn.mesh, control="mesh").images[0]
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from diffusers import ControlNetModel, MultiControlNetModel, StableDiffusionControlNetPipeline
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from pipelines.choices import Control
from pipelines.output import HandImageOutput
from recon.files import FileError
from synth.controlnet.networks import BASE, CONTROLNET

log = logging.getLogger(__name__)

ControlImage = Image.Image | np.ndarray | Tensor | Sequence[Any]
"""RGB pictures: a Pillow image, uint8 or float 0..1 arrays [n,s,s,c], tensors 0..1 [n,c,s,s], or a list of them; with
"mesh+pose" an array or tensor of 6 channels, or a pair (mesh pictures, pose pictures)."""


class HandControlNetPipeline(StableDiffusionControlNetPipeline):
    """Paints hands on control pictures.

    A ControlNet of 6 channels (the shipped one) takes the mesh picture and the pose picture side by side, a missing one
    as zeros. One of 3 channels (of the Stable Diffusion 1.5 class) takes either; two of them, mesh first, take both.
    """

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        path: str | Path | None = None,
        controlnet: str | Path | ControlNetModel | Sequence[str | Path] | None = None,
        **kwargs: Any,
    ) -> "HandControlNetPipeline":
        """The shipped models, or any base and ControlNet of the Stable Diffusion 1.5 class.

        Args:
            path: folder or hub id of a base model, a folder with `base/` and `controlnet/`, or one that this class's
                `save_pretrained` wrote.
            controlnet: folder or hub id of a ControlNet, a loaded one, or two for mesh and pose. Not needed where
                `path` brings its own.
            kwargs: for Diffusers' `from_pretrained`; `torch_dtype` is float32 unless given.

        Raises:
            FileError: no such model, or a base without a ControlNet.
        """
        if path is None:
            path, controlnet = BASE, controlnet or CONTROLNET
        folder = Path(path)
        if (folder / "base").is_dir() and (folder / "controlnet").is_dir():
            path, controlnet = folder / "base", controlnet or folder / "controlnet"
        elif controlnet is None and not (folder / "controlnet").is_dir():
            raise FileError(
                f"{path} has no ControlNet of its own; name one, as in controlnet='lllyasviel/sd-controlnet-...'."
            )
        settings = {"use_safetensors": True, "torch_dtype": torch.float32, **kwargs}
        if controlnet is not None:
            settings["controlnet"] = _load_controlnet(controlnet, settings)
        try:
            return super().from_pretrained(str(path), **settings)
        except (OSError, ValueError) as error:
            raise FileError(
                f"{path} is neither a Diffusers folder nor a hub id that can be reached: {_line(error)}"
            ) from error

    _control_guides = False

    @property
    def image_size(self) -> int:
        """Side of the pictures that the base model was made for, pixels."""
        return self.unet.config.sample_size * self.vae_scale_factor

    @torch.no_grad()
    def __call__(  # type: ignore[override]
        self,
        prompt: str | list[str],
        control_image: ControlImage,
        control: Control = "mesh",
        num_inference_steps: int = 20,
        guidance_scale: float = 1.6,
        controlnet_conditioning_scale: float = 1.0,
        control_guides: bool | None = None,
        negative_prompt: str | list[str] | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        output_type: Literal["pil", "np", "pt", "latent"] = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[..., Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> HandImageOutput | tuple[Any, ...]:
        """Paint a picture on each control picture.

        Args:
            prompt: one text for all pictures, or one for each.
            control_image: what guides; see `ControlImage`. The picture becomes as large.
            control: what `control_image` shows.
            num_inference_steps: denoising steps.
            guidance_scale: how strongly the text guides; 1 leaves out the second evaluation that guidance needs.
                Models of the size of Stable Diffusion want about 7.5.
            controlnet_conditioning_scale: how strongly the control picture guides.
            control_guides: whether that second evaluation sees no control picture either, so that guidance strengthens
                the hand as it strengthens the text. Only ControlNets that learned to go without one can do that; None
                is yes for those of two controls, which did.
            negative_prompt: what not to paint.
            generator: source of the noise; with one per picture a picture does not depend on its batch.
            output_type: Pillow images, float arrays or tensors in 0..1, or latents.
            return_dict: False for a plain tuple.
            callback_on_step_end: called as in Diffusers, `(pipeline, step, timestep, tensors) -> tensors`.
            kwargs: further arguments of `StableDiffusionControlNetPipeline`.

        Raises:
            ValueError: control pictures that do not fit the control, the ControlNet or the prompts.
        """
        pictures = self.check_control(control_image, control)
        count = len(pictures[0]) if isinstance(pictures, list) else len(pictures)
        prompts = [prompt] * count if isinstance(prompt, str) else list(prompt)
        if len(prompts) != count:
            if count != 1:
                raise ValueError(f"There are {len(prompts)} prompts for {count} control pictures; give one for each.")
            pictures = (
                [p.expand(len(prompts), -1, -1, -1) for p in pictures]
                if isinstance(pictures, list)
                else (pictures.expand(len(prompts), -1, -1, -1))
            )
        both = getattr(getattr(self.controlnet, "config", None), "conditioning_channels", 3) == 6
        self._control_guides = both if control_guides is None else control_guides
        result = super().__call__(
            prompt=[self.cut(text) for text in prompts],
            image=pictures,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            controlnet_conditioning_scale=float(controlnet_conditioning_scale),
            negative_prompt=[negative_prompt] * len(prompts) if isinstance(negative_prompt, str) else negative_prompt,
            generator=generator,
            output_type=output_type,
            callback_on_step_end=callback_on_step_end,
            **kwargs,
        )
        return HandImageOutput(images=result.images) if return_dict else (result.images,)

    def prepare_image(self, **kwargs: Any) -> Tensor:
        """The control pictures as Diffusers prepares them: with guidance, first those of the unguided evaluation."""
        pictures = super().prepare_image(**kwargs)
        if self._control_guides and kwargs["do_classifier_free_guidance"] and not kwargs["guess_mode"]:
            unguided, guided = pictures.chunk(2)
            pictures = torch.cat((torch.zeros_like(unguided), guided))
        return pictures

    def cut(self, prompt: str) -> str:
        """The part of a prompt that the text encoder reads; what is left out is logged."""
        limit = self.tokenizer.model_max_length
        tokens = self.tokenizer(prompt, truncation=False, verbose=False).input_ids
        if len(tokens) <= limit:
            return prompt
        log.info("A prompt of %d tokens is cut to the %d that the text encoder reads.", len(tokens), limit)
        return self.tokenizer.decode(tokens[1 : limit - 1]).rstrip("\ufffd")  # half a letter of another script

    def check_control(self, control_image: ControlImage, control: str) -> Tensor | list[Tensor]:
        """The ControlNet's input [n,c,s,s] in 0..1 (or one per ControlNet), from whatever the caller has.

        Raises:
            ValueError: it does not fit the control or the ControlNet.
        """
        wanted = 6 if control == "mesh+pose" else 3
        if control not in ("mesh", "pose", "mesh+pose"):
            raise ValueError(f"The control is {control!r}; it must be mesh, pose or mesh+pose.")
        if wanted == 6 and isinstance(control_image, list | tuple) and len(control_image) == 2:
            pictures = torch.cat([to_tensor(part) for part in control_image], dim=1)
        else:
            pictures = to_tensor(control_image)
        count, channels, height, width = pictures.shape
        if channels != wanted:
            raise ValueError(f"The control pictures have {channels} channels; {control} takes {wanted}.")
        multiple = self.vae_scale_factor * 2 ** (len(self.unet.config.block_out_channels) - 1)
        if height % multiple or width % multiple:
            raise ValueError(
                f"The control pictures have {height} x {width} pixels; both must be multiples of {multiple}."
            )
        if isinstance(self.controlnet, MultiControlNetModel):
            if wanted != 6 or len(self.controlnet.nets) != 2:
                raise ValueError(f"{len(self.controlnet.nets)} ControlNets take mesh+pose as a pair, not {control}.")
            return [pictures[:, :3], pictures[:, 3:]]
        taken = self.controlnet.config.conditioning_channels
        if taken == wanted:
            return pictures
        if taken == 6:
            empty = torch.zeros_like(pictures)
            return torch.cat((pictures, empty) if control == "mesh" else (empty, pictures), dim=1)
        raise ValueError(
            f"The ControlNet takes {taken} channels and so one control; mesh+pose needs one of 6, or two of 3."
        )


def to_tensor(pictures: ControlImage) -> Float[Tensor, "n c h w"]:
    """Pictures in any of the forms of `ControlImage` as one tensor in 0..1.

    Raises:
        ValueError: another form, or numbers outside 0..1.
    """
    if isinstance(pictures, Image.Image):
        pictures = np.asarray(pictures.convert("RGB"))
    if isinstance(pictures, list | tuple):
        if not pictures:
            raise ValueError("There is no control picture; give at least one.")
        return torch.cat([to_tensor(picture) for picture in pictures])
    if isinstance(pictures, np.ndarray):
        whole = pictures.dtype == np.uint8
        tensor = torch.from_numpy(np.array(pictures, dtype=np.float32)) / (255 if whole else 1)
        tensor = tensor.movedim(-1, -3) if tensor.ndim > 2 else tensor
    elif isinstance(pictures, Tensor):
        tensor = pictures.float()
    else:
        raise ValueError(f"A control picture is a {type(pictures).__name__}; give Pillow images, arrays or tensors.")
    if tensor.ndim == 3:
        tensor = tensor[None]
    if tensor.ndim != 4 or tensor.numel() == 0:
        raise ValueError(f"The control pictures have the shape {tuple(pictures.shape)}; give [n,s,s,c] or [n,c,s,s].")
    low, high = float(tensor.min()), float(tensor.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(f"The control pictures have values in {low:.3g}..{high:.3g}; floats must be in 0..1.")
    return tensor


def _load_controlnet(source: Any, settings: Mapping[str, Any]) -> Any:
    """One ControlNet, or a list of them, by folder, hub id, or as it is."""
    if isinstance(source, list | tuple):
        return [_load_controlnet(one, settings) for one in source]
    if not isinstance(source, str | Path):
        return source
    names = ("use_safetensors", "torch_dtype", "cache_dir", "local_files_only", "token", "revision")
    try:
        return ControlNetModel.from_pretrained(str(source), **{n: settings[n] for n in names if n in settings})
    except (OSError, ValueError) as error:
        raise FileError(
            f"{source} is neither a ControlNet folder nor a hub id that can be reached: {_line(error)}"
        ) from error


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
