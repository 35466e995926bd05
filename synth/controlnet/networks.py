"""The small base model and its ControlNet: Diffusers' own classes, sized for two CPU cores (DESIGN section 6, ours).

MMHMR paints with Stable Diffusion and a ControlNet (section H); at this scale none is pretrained, so both are trained
together and saved apart, in the layout every Diffusers user knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import (
    AutoencoderTiny,
    ControlNetModel,
    DPMSolverMultistepScheduler,
    SchedulerMixin,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from torch import nn

from synth.handclip.model import HandClip
from synth.handclip.tokenizer import clip_tokenizer

WEIGHTS = Path(__file__).parent / "weights"
BASE, CONTROLNET = WEIGHTS / "base", WEIGHTS / "controlnet"
CONTROL_CHANNELS = 6
"""Of a ControlNet that takes the mesh picture and the pose picture side by side; a missing one is zeros."""
LATENT_CHANNELS = 4


@dataclass(frozen=True)
class DenoiserConfig:
    """Sizes of the UNet and the ControlNet.

    Attributes:
        sample_size: side of the latents.
        channels: of each level of the UNet, the finest first.
        attention: whether each level attends to the text.
        heads: attention heads of every level.
        layers: ResNet blocks per level.
        text_width: channels of the text's hidden states.
        norm_groups: groups of the group norms.
        control_channels: of the control picture.
        control_embedding: channels on the control picture's way down to the latents' size; halving it each time.
    """

    sample_size: int = 32
    channels: tuple[int, ...] = (64, 96, 160)
    attention: tuple[bool, ...] = (False, False, True)
    heads: int = 2
    layers: int = 1
    text_width: int = 128
    norm_groups: int = 16
    control_channels: int = CONTROL_CHANNELS
    control_embedding: tuple[int, ...] = (8, 24, 64)


def make_autoencoder(
    width: int = 32, encoder_blocks: tuple[int, ...] = (0, 1, 2), decoder_blocks: tuple[int, ...] = (3, 1, 1)
) -> AutoencoderTiny:
    """An autoencoder whose latents are smaller by 2 per level after the first."""
    return AutoencoderTiny(
        encoder_block_out_channels=(width,) * len(encoder_blocks),
        decoder_block_out_channels=(width,) * len(decoder_blocks),
        num_encoder_blocks=encoder_blocks,
        num_decoder_blocks=decoder_blocks,
        latent_channels=LATENT_CHANNELS,
    )


def make_denoiser(config: DenoiserConfig) -> tuple[UNet2DConditionModel, ControlNetModel]:
    """A UNet and its ControlNet with random weights.

    The ControlNet's last convolutions start small instead of at zero: there is no trained UNet to leave undisturbed.
    """
    down = tuple("CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in config.attention)
    up = tuple("CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(config.attention))
    shared = {
        "in_channels": LATENT_CHANNELS,
        "down_block_types": down,
        "block_out_channels": config.channels,
        "layers_per_block": config.layers,
        "cross_attention_dim": config.text_width,
        "attention_head_dim": config.heads,
        "norm_num_groups": config.norm_groups,
    }
    unet = UNet2DConditionModel(
        sample_size=config.sample_size, out_channels=LATENT_CHANNELS, up_block_types=up, **shared
    )
    controlnet = ControlNetModel(
        conditioning_channels=config.control_channels,
        conditioning_embedding_out_channels=config.control_embedding,
        **shared,
    )
    ends = [*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block]
    for layer in (*ends, controlnet.controlnet_cond_embedding.conv_out):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
        with torch.no_grad():
            layer.weight.mul_(0.3)
    return unet, controlnet


def make_scheduler() -> SchedulerMixin:
    """Noise schedule of training and sampling: v prediction; its end is pure noise, so that any tone can be painted."""
    return DPMSolverMultistepScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        algorithm_type="dpmsolver++",
        solver_order=2,
    )


def save_base(
    folder: Path, vae: AutoencoderTiny, unet: UNet2DConditionModel, text: HandClip, scheduler: SchedulerMixin
) -> None:
    """Write the base model as an ordinary Diffusers folder, in half precision."""
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text.clip_text_model(),
        tokenizer=clip_tokenizer(),
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    vae.register_to_config(_name_or_path="")  # not where it was trained
    pipeline.to(torch.float16, silence_dtype_warnings=True).save_pretrained(folder, safe_serialization=True)
    vae.float(), unet.float()
