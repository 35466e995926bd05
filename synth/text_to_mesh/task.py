"""Training of text-to-mesh (paper 000, sec. 3.3, D): masked tokens, expected rotations and joints, sides and shapes."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Subset
from transformers import CLIPTextModel

from eval.text_to_mesh import nearest_class
from recon.hand.model import HandModel, HandParams
from recon.mmhmr.masking import masked_loss, random_mask
from recon.mmhmr.sampling import SamplingConfig
from recon.mmhmr.task import rotations
from recon.mmhmr.tokenizer import VQMano
from recon.mmhmr.transformer import TokenContext
from recon.training import Batch, TrainingTask, Validation
from synth.handclip.model import HandClip
from synth.handclip.tokenizer import END, START, clip_tokenizer
from synth.text_to_mesh.model import HandDistributions, TextToMesh
from synth.text_to_mesh.scenes import SceneTexts
from synth.text_to_mesh.text import encode_texts, text_states
from synth.world.poses import POSES


@dataclass(frozen=True)
class TextToMeshLoss:
    """Weights of the loss: paper 000, B, but for the last three, which are ours.

    `heads` weighs side, shape and placement; `coarse` the squared error of rotations that a linear map reads off the
    text's summary in training: it makes the summary tell hands apart long before the token losses would.
    Joints weigh more than in the paper, in metres, and with the true orientation of the wrist: a text often leaves the
    orientation open, and the mean of open orientations is none of them.
    """

    mask: float = 1.0
    theta: float = 1e-3
    joints: float = 20.0
    heads: float = 0.1
    coarse: float = 30.0
    smoothing: float = 0.0


class TextToMeshTask(TrainingTask):
    """Text-to-mesh with the world's captions.

    Args:
        scenes: hands with captions to learn from.
        held_out: hands with captions to measure on.
        handclip: folder of a HandCLIP, whose text tower is the text encoder; "" is the shipped one.
        new_text: begin with a text encoder of HandCLIP's form that has learned nothing yet, its words far apart.
        train_text: train the text encoder on, for HandCLIP's pictures tell few poses apart; else it stays as it is.
        tokenizer: folder of a trained VQ-MANO; "" is the shipped one.
        dim: width of the transformer.
        layers: synthesizer layers.
        graph_blocks: GGPM blocks.
        heads: attention heads.
        dropout: in attention and MLPs.
        drop_text: share of captions that are hidden altogether (for classifier-free guidance).
        drop_words: share of words that are made unknown (for words that no caption holds).
        all_masked: share of hands masked as a whole, beyond the paper's schedule (ours): sampling begins so,
            and only there the text alone decides.
        read_first: steps that only learn to read (summary, side, shape, placement), all words known; they cost little.
        mesh_every: the losses on rotations and joints see every n-th hand of a batch.
        start: folder of an earlier text-to-mesh model to train further, its text encoder too unless `new_text`;
            "" starts from nothing.
        loss: weights.
        validation_hands: held-out captions per validation.
    """

    def __init__(
        self,
        scenes: SceneTexts,
        held_out: SceneTexts,
        handclip: str = "",
        new_text: bool = False,
        train_text: bool = True,
        tokenizer: str = "",
        dim: int = 128,
        layers: int = 4,
        graph_blocks: int = 2,
        heads: int = 4,
        dropout: float = 0.0,
        drop_text: float = 0.1,
        drop_words: float = 0.05,
        all_masked: float = 0.25,
        read_first: int = 0,
        mesh_every: int = 4,
        start: str = "",
        loss: TextToMeshLoss | None = None,
        validation_hands: int = 500,
    ) -> None:
        super().__init__()
        self.hand = HandModel.default().requires_grad_(False)
        self.vq_mano = VQMano.from_pretrained(tokenizer or None, hand=self.hand).requires_grad_(False)
        clip = new_tower(scenes) if new_text else HandClip.from_pretrained(handclip or None)
        self.text_encoder = clip.clip_text_model().requires_grad_(train_text)
        self.text_tokenizer = clip_tokenizer()
        self.unknown = _unknown_token(clip)
        if train_text:  # what stands for an unknown word stays without meaning
            words = self.text_encoder.get_input_embeddings().weight
            words.register_hook(lambda gradient: gradient.index_fill(0, torch.tensor(self.unknown), 0.0))
        self.scenes, self.held_out, self.weights = scenes, held_out, loss or TextToMeshLoss()
        self.drop_text, self.drop_words, self.mesh_every = drop_text, drop_words, mesh_every
        self.all_masked, self.read_first = all_masked, read_first
        self.steps_done: Tensor
        self.register_buffer("steps_done", torch.zeros((), dtype=torch.int64))
        self.validation_hands = validation_hands
        sizes = self.vq_mano.config
        self.model = TextToMesh(
            num_tokens=sizes.num_tokens,
            codebook_size=sizes.codebook_size,
            code_dim=sizes.code_dim,
            text_width=clip.config.text_width,
            dim=dim,
            layers=layers,
            graph_blocks=graph_blocks,
            heads=heads,
            dropout=dropout,
            hand_fingerprint=self.hand.fingerprint,
            tokenizer_fingerprint=self.vq_mano.fingerprint(),
        )
        if start:
            earlier = TextToMesh.from_pretrained(Path(start) / "text_to_mesh")
            self.model.load_state_dict(earlier.state_dict())
            if not new_text:
                encoder = CLIPTextModel.from_pretrained(Path(start) / "text_encoder", use_safetensors=True)
                self.text_encoder.load_state_dict(encoder.state_dict())
        self.coarse = nn.Linear(dim, 16 * 6)
        self.model.synthesizer.codes.copy_(self.vq_mano.codebook.embedding)

    def train(self, mode: bool = True) -> TextToMeshTask:
        """Training mode for the model alone: what is frozen stays in evaluation mode."""
        super().train(mode)
        self.vq_mano.eval()
        self.text_encoder.eval()
        return self

    def dataset(self) -> Dataset:
        """Captions with their hands."""
        return self.scenes

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        """L_mask + L_MANO + L_3D, and the likelihood of side, shape and placement."""
        theta = rotations(batch)
        reading = self.training and bool(self.steps_done < self.read_first)
        words = batch["text"] if reading else self._forgetful(batch["text"])
        text = text_states(self.text_encoder, words, END)
        read = self.model.read(text, torch.rand(len(theta), device=theta.device) < self.drop_text)
        coarse = self.coarse(self.model.summary(read, batch["is_right"])).unflatten(-1, (16, 3, 2))
        loss_coarse = (coarse - theta[..., :2]).square().mean()
        loss_side, loss_shape = hand_losses(self.model.hands(read), batch)
        loss = self.weights.coarse * loss_coarse + self.weights.heads * (loss_side + loss_shape)
        logs: dict[str, Tensor | float] = {"coarse": loss_coarse, "side": loss_side, "shape": loss_shape}
        if not reading:
            loss_tokens, more = self._token_losses(read, theta, batch)
            loss, logs = loss + loss_tokens, logs | more
        else:  # distributed wrappers want to see every weight in every step
            loss = loss + 0.0 * sum(parameter.sum() for parameter in self.model.parameters())
        self.steps_done += int(self.training)
        return loss, logs

    def _token_losses(
        self, read: TokenContext, theta: Float[Tensor, "b 16 3 3"], batch: Batch
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Losses of the masked tokens and of the hand that they are expected to be."""
        with torch.no_grad():
            tokens = self.vq_mano.encode(theta)
        mask = random_mask(len(tokens), tokens.shape[1], device=theta.device)
        mask = mask | (torch.rand(len(mask), 1, device=mask.device) < self.all_masked)
        logits = self.model(tokens.masked_fill(mask, self.model.synthesizer.mask_id), read, batch["is_right"])
        loss_mask = masked_loss(logits, tokens, mask, self.weights.smoothing)
        some = slice(None, None, self.mesh_every)
        loss_theta, loss_joints = self._expected(
            logits[some].float(), tokens[some], mask[some], theta[some], batch["betas"][some]
        )
        weights = self.weights
        loss = weights.mask * loss_mask + weights.theta * loss_theta + weights.joints * loss_joints
        return loss, {"mask": loss_mask, "theta": loss_theta, "joints_mm": 1000 * loss_joints}

    def _forgetful(self, text: Int64[Tensor, "b n"]) -> Int64[Tensor, "b n"]:
        """Captions some words of which are unknown, so that a strange word in a prompt is nothing new."""
        gone = torch.rand(text.shape, device=text.device) < self.drop_words
        return text.masked_fill(gone & (text != START) & (text != END), self.unknown)

    def _expected(
        self, logits: Tensor, tokens: Tensor, mask: Tensor, theta: Tensor, betas: Tensor
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Expectation-approximated differential sampling: errors of the hand that the mean codes decode to."""
        codes = torch.where(
            mask[..., None], self.vq_mano.expected_codes(logits), self.vq_mano.codebook.embedding[tokens]
        )
        decoded = self.vq_mano.decode_codes(codes)
        joints, true_joints = (
            self.hand(HandParams(betas=betas, global_orient=theta[:, :1], hand_pose=turned[:, 1:])).joints
            for turned in (decoded, theta)
        )
        return functional.l1_loss(decoded, theta), (joints - true_joints).norm(dim=-1).mean()

    def validate(self) -> Validation:
        """Losses on held-out captions, and the share of named poses that a sampled hand is nearest to."""
        count = min(self.validation_hands, len(self.held_out))
        step = len(self.held_out) // count + 1  # neither one scene's captions alone nor one wording of all scenes
        chosen = Subset(self.held_out, [i * step % len(self.held_out) for i in range(count)])
        sums: dict[str, float] = {}
        for batch in DataLoader(chosen, batch_size=50, generator=torch.Generator()):
            _, logs = self.training_step({name: value.to(self.model.device) for name, value in batch.items()})
            for name, value in logs.items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(batch["text"]) / count
        sums["right_class"] = self.class_rate()
        return Validation(sums)

    def class_rate(self) -> float:
        """One sample of each letter's and gesture's plainest wording: the share nearest to the asked hand shape."""
        asked = [pose for pose in POSES.values() if pose.kind in ("letter", "gesture")]
        states = encode_texts(self.text_encoder, self.text_tokenizer, [pose.words[0] for pose in asked])
        is_right = torch.ones(len(asked), dtype=torch.bool, device=self.model.device)
        config = SamplingConfig(num_steps=8, top_fraction=0.05)
        drawn = self.vq_mano.decode_tokens(self.model.sample_tokens(states, is_right, config, 2.0).tokens)
        shapes = list(dict.fromkeys(pose.shape for pose in POSES.values()))
        first = {pose.shape: pose for pose in reversed(POSES.values())}
        library = np.stack([first[shape].hand_pose_rotvec for shape in shapes])
        meant = HandParams.from_rotvec(
            torch.zeros(len(shapes), 10), torch.zeros(len(shapes), 3), torch.from_numpy(library).float()
        )
        nearest = nearest_class(self._fingers(drawn[:, 1:]), self._fingers(meant.hand_pose.to(drawn)))
        return float(np.mean([shapes[n] == pose.shape for n, pose in zip(nearest, asked, strict=True)]))

    def _fingers(self, hand_pose: Float[Tensor, "b 15 3 3"]) -> Float[np.ndarray, "b 21 3"]:
        upright = torch.eye(3, device=hand_pose.device).expand(len(hand_pose), 1, 3, 3)
        betas = torch.zeros(len(hand_pose), 10, device=hand_pose.device)
        joints = self.hand(HandParams(betas=betas, global_orient=upright, hand_pose=hand_pose)).joints
        return joints.cpu().numpy().astype(np.float64)

    def save_pretrained(self, folder: Path) -> None:
        """Write the model with the text encoder it reads by, in half precision; VQ-MANO is shipped apart."""
        save_components(folder, self.model, self.text_encoder, self.text_tokenizer)


def hand_losses(found: HandDistributions, batch: Batch) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Negative log-likelihoods of the side, and of shape and placement (mean per number)."""
    side = functional.binary_cross_entropy_with_logits(found.side_logit, batch["is_right"].float())
    truth = torch.cat((batch["betas"], batch["placement"]), -1)
    variance = (2 * found.log_deviation).exp()
    return side, functional.gaussian_nll_loss(found.mean, truth, variance, full=True)


def save_components(folder: Path, model: TextToMesh, text_encoder: Any, text_tokenizer: Any) -> None:
    """Write `text_to_mesh/`, `text_encoder/` and `tokenizer/`, weights in half precision."""
    for name, module in (("text_to_mesh", model), ("text_encoder", text_encoder)):
        copy.deepcopy(module).half().save_pretrained(folder / name)
    text_tokenizer.save_pretrained(folder / "tokenizer")


def new_tower(scenes: SceneTexts) -> HandClip:
    """A HandCLIP whose words are random and far apart, and without meaning where no caption holds them."""
    clip = HandClip()
    tower = clip.clip.text
    with torch.no_grad():
        tower.token_embedding.weight.normal_(0, 0.5)
        tower.positional_embedding.normal_(0, 0.1)
    clip.forget(torch.from_numpy(np.unique(scenes.text).astype(np.int64)))
    return clip


def _unknown_token(clip: HandClip) -> int:
    """A token that no caption held, hence with an embedding of zero; one that is hardly ever written, if all did."""
    size = clip.clip.text.token_embedding.weight.abs().sum(-1)
    return int(size[:START].argmin())
