"""The small networks fit each other, and a saved base is an ordinary Diffusers folder."""

from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline

from synth.controlnet.networks import DenoiserConfig, make_autoencoder, make_denoiser, make_scheduler, save_base
from synth.handclip.model import HandClip, HandClipConfig

TINY = DenoiserConfig(
    sample_size=8, channels=(8, 16), attention=(False, True), heads=2, text_width=32, norm_groups=4,
    control_embedding=(4, 4, 8),
)  # fmt: skip
TINY_CLIP = HandClipConfig(embed_dim=16, text_width=32, text_layers=1, text_heads=2, image_size=32, image_width=4)


def test_the_controlnet_guides_the_unet_from_the_first_step() -> None:
    torch.manual_seed(0)
    unet, controlnet = make_denoiser(TINY)
    x_t, hidden, t = torch.randn(1, 4, 8, 8), torch.randn(1, 64, 32), torch.tensor(500)
    outputs = []
    for control in (torch.zeros(1, 6, 32, 32), torch.ones(1, 6, 32, 32)):
        down, middle = controlnet(x_t, t, encoder_hidden_states=hidden, controlnet_cond=control, return_dict=False)
        out = unet(
            x_t, t, encoder_hidden_states=hidden, down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample  # fmt: skip
        outputs.append(out)
    assert outputs[0].shape == x_t.shape
    assert (outputs[0] - outputs[1]).abs().max() > 1e-4


def test_latents_are_four_times_smaller() -> None:
    vae = make_autoencoder(8)
    latents = vae.encode(torch.rand(1, 3, 32, 48)).latents
    assert latents.shape == (1, 4, 8, 12)
    assert vae.decode(latents).sample.shape == (1, 3, 32, 48)


def test_the_last_step_is_pure_noise() -> None:
    assert make_scheduler().alphas_cumprod[-1] < 1e-6


def test_the_saved_base_is_a_stable_diffusion_folder(tmp_path: Path) -> None:
    unet, _ = make_denoiser(TINY)
    save_base(tmp_path / "base", make_autoencoder(8), unet, HandClip(TINY_CLIP), make_scheduler())
    assert unet.dtype == torch.float32  # training goes on
    files = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert not any(name.endswith((".bin", ".pt", ".ckpt")) for name in files)
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path / "base", torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    picture = pipe("a right fist", num_inference_steps=2, height=32, width=32, output_type="np").images
    assert picture.shape == (1, 32, 32, 3)


def test_a_scheduler_with_a_perfect_denoiser_gives_back_the_picture() -> None:
    scheduler, x_0 = make_scheduler(), torch.randn(1, 4, 8, 8)
    scheduler.set_timesteps(10)
    alphas = scheduler.alphas_cumprod
    x_t = torch.randn(1, 4, 8, 8)
    for t in scheduler.timesteps:
        signal, level = alphas[t].sqrt(), (1 - alphas[t]).sqrt()
        noise = (x_t - signal * x_0) / level
        x_t = scheduler.step(signal * noise - level * x_0, t, x_t, return_dict=False)[0]
    torch.testing.assert_close(x_t, x_0, atol=0.03, rtol=0.03)
