"""A base model and a ControlNet of Stable Diffusion 1.5's classes, tiny and random, as Diffusers folders."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, ControlNetModel, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from synth.handclip.tokenizer import END, START, VOCABULARY, clip_tokenizer

SHARED = {
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "in_channels": 4,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "cross_attention_dim": 16,
    "attention_head_dim": 2,
    "norm_num_groups": 4,
}
EMBEDDING = (4, 4, 4, 8)


def write_base(folder: Path) -> Path:
    """`folder`/base with an 8 times smaller latent space, and `folder`/mesh and `folder`/pose, two ControlNets."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8, out_channels=4, up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), **SHARED
    )
    vae = AutoencoderKL(
        block_out_channels=(4, 4, 4, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=4,
        layers_per_block=1,
        latent_channels=4,
    )
    text = CLIPTextConfig(
        vocab_size=VOCABULARY, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=64, bos_token_id=START, eos_token_id=END, pad_token_id=END,
    )  # fmt: skip
    scheduler = PNDMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, skip_prk_steps=True)
    StableDiffusionPipeline(
        vae=vae, text_encoder=CLIPTextModel(text), tokenizer=clip_tokenizer(), unet=unet, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder / "base")  # fmt: skip
    for name in ("mesh", "pose"):
        controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=EMBEDDING)
        for layer in (*controlnet.controlnet_down_blocks, controlnet.controlnet_cond_embedding.conv_out):
            torch.nn.init.normal_(layer.weight)
        controlnet.save_pretrained(folder / name)
    return folder
