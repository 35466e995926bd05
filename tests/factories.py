"""Tiny pipelines with random weights: the real classes at the `smoke` scale, saved the way users save theirs."""

from pathlib import Path

import torch

from pipelines.mesh_to_image import HandControlNetPipeline
from pipelines.text_to_image import TextToHandImagePipeline
from pipelines.text_to_mesh import TextToHandMeshPipeline
from recon.hand.model import HandModel
from recon.mmhmr.tokenizer import VQMano
from synth.controlnet.networks import DenoiserConfig, make_autoencoder, make_denoiser, make_scheduler
from synth.handclip.model import HandClip, HandClipConfig
from synth.handclip.tokenizer import clip_tokenizer, tokenize
from synth.text_to_mesh.model import TextToMesh

KNOWN = "a left right hand making a fist open palm facing the camera , victory sign"
SIZE = 64
"""Side of the pictures, pixels."""
WIDTH = 16


def tiny_hand_clip() -> HandClip:
    """HandCLIP that knows the words of `KNOWN`."""
    config = HandClipConfig(
        embed_dim=WIDTH, text_width=WIDTH, text_layers=1, text_heads=2, image_size=32, image_width=8
    )
    clip = HandClip(config)
    clip.forget(tokenize([KNOWN]).unique())
    return clip


def tiny_text_to_mesh(clip: HandClip, hand: HandModel) -> TextToHandMeshPipeline:
    """16 tokens of 8 codes."""
    vq_mano = VQMano(16, 8, 4, width=8, joint_blocks=1, token_blocks=1, hand_fingerprint=hand.fingerprint)
    model = TextToMesh(
        num_tokens=16,
        codebook_size=8,
        code_dim=4,
        text_width=WIDTH,
        dim=16,
        layers=1,
        graph_blocks=1,
        heads=2,
        hand_fingerprint=hand.fingerprint,
        tokenizer_fingerprint=vq_mano.fingerprint(),
    )
    with torch.no_grad():  # hands that stand in the picture: side, shape, placement and their log deviations
        model.hand_head[-1].weight.mul_(0.1)
        placement = torch.tensor([2.0, 0.6, 1.0, 1.0]).log()
        model.hand_head[-1].bias.copy_(torch.cat([torch.zeros(11), placement, torch.full((14,), -2.0)]))
    return TextToHandMeshPipeline(model, vq_mano, clip.clip_text_model(), clip_tokenizer(), hand)


def tiny_mesh_to_image(clip: HandClip) -> HandControlNetPipeline:
    """Pictures of 64 x 64 pixels in latents of 16 x 16."""
    config = DenoiserConfig(
        sample_size=SIZE // 4,
        channels=(8, 16),
        attention=(False, True),
        heads=2,
        text_width=WIDTH,
        norm_groups=4,
        control_embedding=(4, 4, 8),
    )
    unet, controlnet = make_denoiser(config)
    return HandControlNetPipeline(
        vae=make_autoencoder(8, (0, 1, 1), (1, 1, 1)),
        text_encoder=clip.clip_text_model(),
        tokenizer=clip_tokenizer(),
        unet=unet,
        controlnet=controlnet,
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def tiny_pipeline(seed: int = 0) -> TextToHandImagePipeline:
    """All of it, in memory; equal seeds give equal weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        clip = tiny_hand_clip()
        return TextToHandImagePipeline(tiny_text_to_mesh(clip, HandModel.default()), tiny_mesh_to_image(clip))


def save_tiny_pipeline(folder: Path, seed: int = 0) -> Path:
    """The folder that `handloom generate --pipeline` takes."""
    tiny_pipeline(seed).save_pretrained(folder)
    return folder
