"""Training of the small autoencoder: pictures to latents of a sixteenth as many pixels, and back as sharp as they were.

L1 alone gives soft pictures. Gradients and the local energy of fine detail are compared too (ours): the energy asks for
as much texture as there was, not for the very same grain, which so few numbers cannot carry.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from eval.sharpness import laplacian_variance
from recon.training import Batch, TrainingTask, Validation
from synth.controlnet.networks import make_autoencoder
from synth.pictures import Pictures, open_pictures

_LAPLACIAN = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])[None, None]


class Crops(Dataset[Batch]):
    """Items: a whole picture; the task cuts the crops."""

    def __init__(self, pictures: Pictures) -> None:
        self.pictures = pictures

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.pictures)

    def __getitem__(self, index: int) -> Batch:
        """Picture `index`, uint8 [s,s,3]."""
        return {"image": torch.from_numpy(np.array(self.pictures.images[index]))}


class AutoencoderTask(TrainingTask):
    """`AutoencoderTiny` with its pictures and its loss.

    Args:
        data: data-set folders.
        held_out: folders of the validation pictures.
        cache: where the pictures' arrays are kept.
        size: side of the pictures.
        crop: side of the random crops trained on.
        width: channels of the autoencoder.
        latent_noise: deviation of the noise added to latents (in their own deviations), so that the decoder forgives
            a denoiser's small errors.
        gradient: weight of the L1 of image gradients.
        energy: weight of the local energy of fine detail.
        unit: weight that draws the latents to zero mean and unit deviation.
        start: folder of a trained autoencoder, whose decoder alone is trained further; its latents stay as they are.
    """

    def __init__(
        self,
        data: Sequence[Path],
        held_out: Sequence[Path],
        cache: Path,
        size: int = 128,
        crop: int = 64,
        width: int = 32,
        latent_noise: float = 0.1,
        gradient: float = 1.0,
        energy: float = 0.1,
        unit: float = 0.1,
        start: Path | None = None,
    ) -> None:
        super().__init__()
        self.train_set, self.held_out = Crops(open_pictures(data, cache, size)), open_pictures(held_out, cache, size)
        self.crop, self.latent_noise = crop, latent_noise
        self.gradient, self.energy, self.unit = gradient, energy, unit
        self.frozen = start is not None
        vae = AutoencoderTiny.from_pretrained(start, use_safetensors=True) if start else make_autoencoder(width)
        self.vae = vae.to(memory_format=torch.channels_last)  # a third faster on CPUs
        self.vae.encoder.requires_grad_(not self.frozen)

    def dataset(self) -> Dataset[Batch]:
        """Pictures to learn from."""
        return self.train_set

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Encode and decode random crops, some of them mirrored."""
        pixels = random_crops(to_pixels(batch["image"]), self.crop)
        latents = self.vae.encode(pixels).latents.float()
        strength = self.latent_noise * torch.rand(len(latents), 1, 1, 1, device=latents.device)
        noisy = latents + strength * torch.randn_like(latents)
        decoded = self.vae.decode(noisy).sample.float()
        colour = functional.l1_loss(decoded, pixels)
        slopes = sum(functional.l1_loss(decoded.diff(dim=axis), pixels.diff(dim=axis)) for axis in (-1, -2))
        detail = functional.l1_loss(detail_energy(decoded), detail_energy(pixels))
        mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
        unit = mean.square().mean() + (deviation - 1).square().mean()
        loss = colour + self.gradient * slopes + self.energy * detail + self.unit * unit
        return loss, {"l1": colour, "gradient": slopes, "energy": detail, "unit": unit}

    def validate(self) -> Validation:
        """PSNR, and the sharpness of decoded pictures over that of the originals; a sheet with both."""
        images = torch.from_numpy(np.array(self.held_out.images[:64]))
        pixels = to_pixels(images).to(self.vae.device)
        latents = torch.cat([self.vae.encode(part).latents for part in pixels.split(16)])
        decoded = torch.cat([self.vae.decode(part).sample for part in latents.split(16)]).clamp(-1, 1)
        squares = (decoded - pixels).square().mean((1, 2, 3)) / 4
        shown, hands = to_images(decoded), np.asarray(self.held_out.mesh[: len(images)].any(-1))
        ratios = laplacian_variance(shown, hands) / laplacian_variance(images.numpy(), hands)
        figures = {
            "psnr_db": float((-10 * squares.log10()).mean()),
            "sharpness_ratio": float(np.nanmedian(ratios)),
            "latent_mean": float(latents.mean()),
            "latent_std": float(latents.std()),
        }
        sheet = np.concatenate([np.concatenate(list(rows[:8]), 1) for rows in (images.numpy(), shown)], 0)
        return Validation(figures, {"decoded": sheet})

    def save_pretrained(self, folder: Path) -> None:
        """Write the autoencoder; `scaling_factor` makes the latents of unit deviation."""
        if self.frozen:
            self.vae.save_pretrained(folder)
            return
        images = torch.from_numpy(np.array(self.train_set.pictures.images[:512]))
        latents = torch.cat([self.vae.encode(to_pixels(part).to(self.vae.device)).latents for part in images.split(16)])
        self.vae.register_to_config(scaling_factor=round(1 / float(latents.std()), 4))
        self.vae.save_pretrained(folder)


def to_pixels(images: Tensor) -> Float[Tensor, "b 3 h w"]:
    """uint8 [b,h,w,3] -> -1..1."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def to_images(pixels: Float[Tensor, "b 3 h w"]) -> np.ndarray:
    """-1..1 -> uint8 [b,h,w,3]."""
    return ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def detail_energy(pixels: Float[Tensor, "b 3 h w"], window: int = 8) -> Float[Tensor, "b 1 y x"]:
    """Root of the mean squared Laplacian of the brightness in windows that overlap by half."""
    grey = pixels.mean(1, keepdim=True)
    laplacian = functional.conv2d(grey, _LAPLACIAN.to(grey))
    return (functional.avg_pool2d(laplacian.square(), window, window // 2) + 1e-4).sqrt()


def random_crops(pixels: Float[Tensor, "b 3 h w"], size: int) -> Float[Tensor, "b 3 c c"]:
    """A square of each picture at a random place, half of them mirrored."""
    height, width = pixels.shape[-2:]
    crops = []
    for picture in pixels:
        y, x = int(torch.randint(height - size + 1, ())), int(torch.randint(width - size + 1, ()))
        crop = picture[:, y : y + size, x : x + size]
        crops.append(crop.flip(-1) if torch.rand(()) < 0.5 else crop)
    return torch.stack(crops)
