"""Training of the small base model and its ControlNet, together and from scratch (MMHMR section H, embedded scale).

Captions and control pictures are dropped at random, so that one ControlNet serves mesh, pose and both, and guidance by
the text works; what is missing is the empty caption, or zeros.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from recon.training import Batch, TrainingTask, Validation
from synth.controlnet.autoencoder_task import to_images, to_pixels
from synth.controlnet.networks import DenoiserConfig, make_denoiser, make_scheduler, save_base
from synth.handclip.model import HandClip
from synth.handclip.tokenizer import tokenize
from synth.pictures import Pictures, open_pictures


class Controlled(Dataset[Batch]):
    """Items: latents, control pictures, and the tokens of every wording.

    Args:
        pictures: with control pictures and captions.
        latents: of the pictures.
        to_tokens: texts -> token numbers [b,n].
    """

    def __init__(
        self, pictures: Pictures, latents: Float[Tensor, "n c h w"], to_tokens: Callable[[list[str]], Tensor]
    ) -> None:
        self.pictures, self.latents = pictures, latents
        wordings = min(map(len, pictures.captions))
        texts = [text for captions in pictures.captions for text in captions[:wordings]]
        self.tokens = to_tokens(texts).to(torch.int32).unflatten(0, (len(pictures), wordings))

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.pictures)

    def __getitem__(self, index: int) -> Batch:
        """Latents [c,h,w], control uint8 [s,s,6] (mesh, then pose), tokens [wordings,64]."""
        control = np.concatenate((self.pictures.mesh[index], self.pictures.pose[index]), axis=-1)
        return {
            "latents": self.latents[index],
            "control": torch.from_numpy(control),
            "tokens": self.tokens[index],
        }


class ControlNetTask(TrainingTask):
    """UNet and ControlNet with their pictures and the loss of v prediction.

    Args:
        data: data-set folders.
        held_out: folders of the validation pictures.
        cache: where the pictures' arrays are kept.
        autoencoder: folder of the trained autoencoder.
        handclip: folder of the trained HandCLIP; the shipped one by default.
        size: side of the pictures.
        denoiser: sizes of the networks.
        drop_caption: share of samples without caption.
        drop_one_control: share of samples without the mesh picture, and likewise without the pose picture.
        drop_controls: share of samples without any.
        hand_weight: weight of the hand in the loss, where the background has 1: fingers are small, and what matters.
        steps: denoising steps of the validation pictures.
    """

    signal: Tensor
    noise_level: Tensor
    no_text: Tensor

    def __init__(
        self,
        data: Sequence[Path],
        held_out: Sequence[Path],
        cache: Path,
        autoencoder: Path,
        handclip: Path | None = None,
        size: int = 128,
        denoiser: DenoiserConfig | None = None,
        drop_caption: float = 0.12,
        drop_one_control: float = 0.15,
        drop_controls: float = 0.05,
        hand_weight: float = 4.0,
        steps: int = 20,
    ) -> None:
        super().__init__()
        self.drop_caption, self.drop_one_control, self.drop_controls = drop_caption, drop_one_control, drop_controls
        self.steps, self.hand_weight = steps, hand_weight
        self.vae = AutoencoderTiny.from_pretrained(autoencoder, use_safetensors=True).requires_grad_(False)
        self.text = HandClip.from_pretrained(handclip).requires_grad_(False)
        self.scheduler = make_scheduler()
        self.unet, self.controlnet = make_denoiser(denoiser or DenoiserConfig())
        pictures, self.held_out = open_pictures(data, cache, size), open_pictures(held_out, cache, size)
        self.train_set = Controlled(pictures, self._kept_latents(pictures, cache, autoencoder), tokenize)
        self._remember_schedule()

    def _remember_schedule(self) -> None:
        """The schedule and the empty caption, where the networks are."""
        alphas = self.scheduler.alphas_cumprod
        self.register_buffer("signal", alphas.sqrt(), persistent=False)
        self.register_buffer("noise_level", (1 - alphas).sqrt(), persistent=False)
        self.register_buffer("no_text", self.to_tokens([""])[0], persistent=False)

    def to_tokens(self, texts: list[str]) -> Tensor:
        """Token numbers [b,n] of texts."""
        return tokenize(texts)

    def dataset(self) -> Dataset[Batch]:
        """Pictures to learn from."""
        return self.train_set

    def train(self, mode: bool = True) -> ControlNetTask:
        """Only the networks that learn are in training mode."""
        super().train(mode)
        for part in self.children():
            part.train(mode and any(value.requires_grad for value in part.parameters()))
        return self

    def _kept_latents(self, pictures: Pictures, cache: Path, autoencoder: Path) -> Float[Tensor, "n c h w"]:
        """`encode` of the training pictures, kept in the cache under a hash of the autoencoder and the pictures."""
        digest = hashlib.sha256((Path(autoencoder) / "diffusion_pytorch_model.safetensors").read_bytes())
        digest.update(np.ascontiguousarray(pictures.hand_pose).tobytes() + str(pictures.size).encode())
        file = Path(cache) / f"latents_{digest.hexdigest()[:12]}.npy"
        if not file.is_file():
            staged = file.with_suffix(".part")
            with staged.open("wb") as handle:
                np.save(handle, self.encode(pictures.images).numpy())
            staged.rename(file)
        return torch.from_numpy(np.load(file, allow_pickle=False))

    @torch.no_grad()
    def encode(self, images: np.ndarray) -> Float[Tensor, "n c h w"]:
        """Latents of unit deviation of uint8 pictures, float16."""
        parts = range(0, len(images), 64)
        scale, device = self.vae.config.scaling_factor, self.vae.device
        return torch.cat(
            [
                (scale * self.vae.encode(to_pixels(torch.from_numpy(np.array(images[i : i + 64]))).to(device)).latents)
                .half()
                .cpu()
                for i in tqdm(parts, desc="latents", mininterval=2.0)
            ]
        )

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Mean squared error of v at random times, with dropped captions and controls."""
        x_0 = batch["latents"].float()
        count, device = len(x_0), x_0.device
        tokens = self._choose_captions(batch["tokens"].long())
        with torch.no_grad():
            hidden = self.hidden_states(tokens)
        control = batch["control"].permute(0, 3, 1, 2).float() / 255
        hand = functional.adaptive_max_pool2d(control[:, :3].amax(1, keepdim=True), x_0.shape[-2:]) > 0
        control = self.drop_control(control)
        # One time from each of `count` equal parts of the schedule: less noise in the loss than independent times.
        parts = (torch.randperm(count, device=device) + torch.rand(count, device=device)) / count
        timesteps = (parts * len(self.signal)).long().clamp(max=len(self.signal) - 1)
        signal, level = (table[timesteps].view(-1, 1, 1, 1) for table in (self.signal, self.noise_level))
        noise = torch.randn_like(x_0)
        output = self.predict(signal * x_0 + level * noise, timesteps, hidden, control)
        errors = (output.float() - self.target(x_0, noise, signal, level)).square()
        weights = torch.where(hand, self.hand_weight, 1.0)
        return (weights * errors).mean() / weights.mean(), {"unweighted": errors.mean()}

    def hidden_states(self, tokens: Tensor) -> Float[Tensor, "b n w"]:
        """What the UNet attends to."""
        return self.text.text_features(tokens).hidden

    def target(self, x_0: Tensor, noise: Tensor, signal: Tensor, level: Tensor) -> Float[Tensor, "b c h w"]:
        """What the UNet is to output: v, or the noise, as the scheduler says."""
        return signal * noise - level * x_0 if self.scheduler.config.prediction_type == "v_prediction" else noise

    def predict(
        self, x_t: Float[Tensor, "b c h w"], timesteps: Tensor, hidden: Tensor, control: Tensor
    ) -> Float[Tensor, "b c h w"]:
        """The UNet's output under the ControlNet's guidance."""
        down, middle = self.controlnet(
            x_t, timesteps, encoder_hidden_states=hidden, controlnet_cond=control, return_dict=False
        )
        return self.unet(
            x_t,
            timesteps,
            encoder_hidden_states=hidden,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            return_dict=False,
        )[0]

    def drop_control(self, control: Float[Tensor, "b 6 s s"]) -> Float[Tensor, "b 6 s s"]:
        """Zero the mesh picture, the pose picture, or both, of random samples."""
        draw = torch.rand(len(control), 1, 1, 1, device=control.device)
        one, none = self.drop_one_control, self.drop_controls
        no_mesh = (draw < one) | (draw >= 1 - none)
        no_pose = ((draw >= one) & (draw < 2 * one)) | (draw >= 1 - none)
        return control * torch.cat((~no_mesh.expand(-1, 3, 1, 1), ~no_pose.expand(-1, 3, 1, 1)), 1)

    def _choose_captions(self, tokens: Tensor) -> Tensor:
        """One of each sample's wordings, or the empty text."""
        count = len(tokens)
        chosen = tokens[torch.arange(count), torch.randint(tokens.shape[1], (count,), device=tokens.device)]
        dropped = torch.rand(count, 1, device=tokens.device) < self.drop_caption
        return torch.where(dropped, self.no_text, chosen)

    @torch.no_grad()
    def validate(self) -> Validation:
        """Loss on held-out pictures at fixed times and noise, and a sheet: both controls, painted, truth."""
        held, device = self.held_out, self.vae.device
        generator = torch.Generator().manual_seed(0)
        count = min(64, len(held))
        x_0 = self.encode(held.images[:count]).float().to(device)
        control = torch.from_numpy(np.concatenate((held.mesh[:count], held.pose[:count]), -1)).permute(0, 3, 1, 2) / 255
        control = control.to(device)
        hidden = self.hidden_states(self.to_tokens([captions[-1] for captions in held.captions[:count]]).to(device))
        noise = torch.randn(x_0.shape, generator=generator).to(device)
        timesteps = torch.linspace(0, len(self.signal) - 1, count).long().to(device)
        signal, level = (table[timesteps].view(-1, 1, 1, 1) for table in (self.signal, self.noise_level))
        losses = []
        for part in torch.arange(count).split(16):
            x_t = signal[part] * x_0[part] + level[part] * noise[part]
            output = self.predict(x_t, timesteps[part], hidden[part], control[part])
            target = self.target(x_0[part], noise[part], signal[part], level[part])
            losses.append((output - target).square().mean((1, 2, 3)))
        shown = min(10, count)
        painted = to_images(self.sample(noise[:shown], hidden[:shown], control[:shown]))
        columns = (held.mesh[:shown], held.pose[:shown], painted, held.images[:shown])
        sheet = np.concatenate([np.concatenate(list(row), 1) for row in columns], 0)
        return Validation({"loss": float(torch.cat(losses).mean())}, {"painted": sheet})

    def sample(self, noise: Tensor, hidden: Tensor, control: Tensor) -> Float[Tensor, "b 3 s s"]:
        """Pictures in -1..1 by the scheduler, without guidance by the text."""
        scheduler = type(self.scheduler).from_config(self.scheduler.config)
        scheduler.set_timesteps(self.steps)
        x_t = noise
        for t in scheduler.timesteps:
            output = self.predict(x_t, t.to(x_t.device), hidden, control)
            x_t = scheduler.step(output, t, x_t, return_dict=False)[0]
        return self.vae.decode(x_t / self.vae.config.scaling_factor).sample

    def save_pretrained(self, folder: Path) -> None:
        """Write `base/` (an ordinary Diffusers folder) and `controlnet/`, both in half precision."""
        save_base(folder / "base", self.vae, self.unet, self.text, make_scheduler())
        self.controlnet.half().save_pretrained(folder / "controlnet", safe_serialization=True)
        self.controlnet.float()
