"""Text -> hands: `TextToHandMeshPipeline` (paper 000, sec. D, with the sampling of sec. 3.4 and G).

from pipelines import TextToHandMeshPipeline

pipe = TextToHandMeshPipeline.from_pretrained()
hands = pipe("the letter L in sign language", num_samples=4, seeds=[0, 1, 2, 3])
print(hands.meshes.vertices.shape, hands.is_right, hands.confidence)
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
import trimesh
from jaxtyping import Bool, Float
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import CLIPTextModel, CLIPTokenizer

from pipelines.output import TextToHandMeshOutput
from recon.files import FileError
from recon.hand.model import HandMesh, HandModel, HandParams
from recon.mmhmr.sampling import SamplingConfig
from recon.mmhmr.tokenizer import VQMano
from synth.text_to_mesh.model import TextToMesh
from synth.text_to_mesh.placement import place
from synth.text_to_mesh.text import encode_texts

SHIPPED = Path(__file__).parent.parent / "synth" / "text_to_mesh" / "weights"
StepCallback = Callable[["TextToHandMeshPipeline", int, dict[str, Tensor]], None]


class TextToHandMeshPipeline:
    """Samples hands from texts.

    Args:
        text_to_mesh: distribution of hands given a text.
        vq_mano: decodes its pose tokens.
        text_encoder: any CLIP text model, the one that `text_to_mesh` was trained with.
        tokenizer: of the text encoder.
        hand_model: the hand that all of it was trained on; the default hand when absent.

    Raises:
        HandMismatchError: trained on another hand.
        ValueError: `text_to_mesh` was trained with another VQ-MANO.
    """

    def __init__(
        self,
        text_to_mesh: TextToMesh,
        vq_mano: VQMano,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        hand_model: HandModel | None = None,
    ) -> None:
        self.text_to_mesh, self.vq_mano = text_to_mesh.eval(), vq_mano.eval()
        self.text_encoder, self.tokenizer = text_encoder.eval(), tokenizer
        self.hand_model = hand_model or HandModel.default()
        self.hand_model.check_fingerprint(text_to_mesh.config.hand_fingerprint, "the text-to-mesh model")
        self.hand_model.check_fingerprint(vq_mano.config.hand_fingerprint, "the VQ-MANO")
        expected, found = text_to_mesh.config.tokenizer_fingerprint, vq_mano.fingerprint()
        if expected != found:
            raise ValueError(
                f"The text-to-mesh model speaks the tokens of VQ-MANO {expected}, but this one is {found}."
            )
        self.progress_bar: dict[str, Any] = {"disable": True}

    @classmethod
    def from_pretrained(
        cls, path: str | Path | None = None, hand_model: HandModel | None = None
    ) -> TextToHandMeshPipeline:
        """Load a folder of `save_pretrained`, a hub id, or by default the model that ships.

        Raises:
            FileError: the folder holds no such model.
        """
        folder = Path(path or SHIPPED)
        if (path is None or folder.exists()) and not (folder / "text_to_mesh" / "config.json").is_file():
            raise FileError(
                f"{folder} holds no text-to-mesh model; `handloom train configs/synth/text_to_mesh.yaml` makes one."
            )
        where = str(folder if path is None or folder.exists() else path)
        has_own = not folder.exists() or (folder / "vq_mano").is_dir()
        safe: dict[str, Any] = {"use_safetensors": True, "dtype": torch.float32}
        return cls(
            TextToMesh.from_pretrained(where, subfolder="text_to_mesh"),
            VQMano.from_pretrained(where, subfolder="vq_mano") if has_own else VQMano.from_pretrained(),
            CLIPTextModel.from_pretrained(where, subfolder="text_encoder", **safe),
            CLIPTokenizer.from_pretrained(where, subfolder="tokenizer"),
            hand_model,
        )

    def save_pretrained(self, folder: str | Path) -> None:
        """Write all parts, weights in half precision."""
        folder = Path(folder)
        for name, part in self.components.items():
            if isinstance(part, HandModel):
                continue
            stored: Any = copy.deepcopy(part).half() if isinstance(part, nn.Module) else part
            stored.save_pretrained(folder / name)

    @property
    def components(self) -> dict[str, Any]:
        """The parts by name."""
        names = ("text_to_mesh", "vq_mano", "text_encoder", "tokenizer", "hand_model")
        return {name: getattr(self, name) for name in names}

    @property
    def device(self) -> torch.device:
        """Where the models are."""
        return self.text_to_mesh.device

    def to(self, device: str | torch.device) -> TextToHandMeshPipeline:
        """Move the models."""
        for part in self.components.values():
            if isinstance(part, nn.Module):
                part.to(device)
        return self

    def set_progress_bar_config(self, **options: Any) -> None:
        """Options of the tqdm bar over hands; it is off until `disable=False` is set."""
        self.progress_bar = {**self.progress_bar, **options}

    def check_inputs(
        self,
        prompt: str | Sequence[str],
        num_samples: int,
        seeds: Sequence[int] | None,
        generator: torch.Generator | None,
    ) -> tuple[list[str], list[int]]:
        """Step 0: a text and a seed per hand.

        Raises:
            ValueError: nothing is asked for, or there are more or fewer seeds than hands.
        """
        texts = [prompt] if isinstance(prompt, str) else list(prompt)
        if not texts or num_samples < 1:
            raise ValueError(
                f"{len(texts)} prompts with {num_samples} samples each are no hand; give at least 1 of both."
            )
        prompts = [text for text in texts for _ in range(num_samples)]
        if seeds is None:
            seeds = torch.randint(2**63 - 1, (len(prompts),), generator=generator).tolist()
        if len(seeds) != len(prompts):
            raise ValueError(f"There are {len(seeds)} seeds for {len(prompts)} hands; give one for each.")
        return prompts, [int(seed) for seed in seeds]

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        num_samples: int = 1,
        generator: torch.Generator | None = None,
        seeds: Sequence[int] | None = None,
        is_right: bool | None = None,
        size: int = 256,
        num_inference_steps: int = 10,
        guidance_scale: float = 2.0,
        top_fraction: float = 0.05,
        top_k: int = 0,
        top_p: float = 1.0,
        temperature: float = 1.0,
        batch_size: int = 64,
        output_type: Literal["pt", "trimesh"] = "pt",
        callback_on_step_end: StepCallback | None = None,
    ) -> TextToHandMeshOutput | list[trimesh.Trimesh]:
        """Sample hands.

        Args:
            prompt: one text or several; an empty one asks for any hand.
            num_samples: hands per text; those of one text follow each other.
            generator: draws the seeds when none are given.
            seeds: one per hand, each hand's only randomness.
            is_right: the side of all hands; None leaves it to the text, and to chance where that says nothing.
            size: side in pixels of the picture the hands stand in, the unit of `focal_length`.
            num_inference_steps: iterations T of the sampling.
            guidance_scale: of classifier-free guidance; 1 is none.
            top_fraction: tokens are drawn among this share of the codes (the paper's top-5 %).
            top_k: among so many codes; 0 is no limit.
            top_p: among the codes that hold this probability together.
            temperature: of the drawing.
            batch_size: hands at once.
            output_type: "pt" for the full record, "trimesh" for a list of meshes in the camera frame.
            callback_on_step_end: called with the pipeline, the iteration and {"tokens"} after each of them.

        Raises:
            ValueError: nothing asked for, or a sampling option out of range.
        """
        prompts, all_seeds = self.check_inputs(prompt, num_samples, seeds, generator)
        config = SamplingConfig(
            num_steps=num_inference_steps, top_k=top_k, top_fraction=top_fraction, top_p=top_p, temperature=temperature
        )
        watch = None
        if callback_on_step_end:
            watched = callback_on_step_end
            watch = lambda step, tokens: watched(self, step, {"tokens": tokens})  # noqa: E731
        parts = []
        with tqdm(total=len(prompts), unit="hand", **self.progress_bar) as bar:
            for start in range(0, len(prompts), batch_size):
                texts = prompts[start : start + batch_size]
                generators = [torch.Generator().manual_seed(seed) for seed in all_seeds[start : start + batch_size]]
                # 1. Text, 2. side, shape and placement, 3. pose tokens, 4. rotations.
                states = encode_texts(self.text_encoder, self.tokenizer, texts)
                sides, betas, placement = self.text_to_mesh.sample_hands(states, generators)
                if is_right is not None:
                    sides = torch.full_like(sides, is_right)
                drawn = self.text_to_mesh.sample_tokens(states, sides, config, guidance_scale, generators, watch)
                theta = self.vq_mano.decode_tokens(drawn.tokens)
                parts.append((sides, betas, placement, theta, drawn.hand_confidence))
                bar.update(len(texts))
        sides, betas, placement, theta, confidence = (torch.cat(columns) for columns in zip(*parts, strict=True))
        output = self.decode(prompts, sides, betas, placement, theta, confidence, size)
        return output if output_type == "pt" else self.trimeshes(output)

    def decode(
        self,
        prompts: list[str],
        is_right: Bool[Tensor, " n"],
        betas: Float[Tensor, "n 10"],
        placement: Float[Tensor, "n 4"],
        theta: Float[Tensor, "n 16 3 3"],
        confidence: Float[Tensor, " n"],
        size: int,
    ) -> TextToHandMeshOutput:
        """Step 5: meshes before the camera; left hands are the mirror images of what the model sees."""
        params = HandParams(betas=betas, global_orient=theta[:, :1], hand_pose=theta[:, 1:])
        mesh = self.hand_model(params)
        cam_t, focal_length = place(mesh.joints, placement)
        right, mirrored, mirrored_mesh = is_right[:, None, None], params.mirrored(), mesh.mirrored()
        return TextToHandMeshOutput(
            params=HandParams(
                betas=betas,
                global_orient=torch.where(right[..., None], params.global_orient, mirrored.global_orient),
                hand_pose=torch.where(right[..., None], params.hand_pose, mirrored.hand_pose),
            ),
            meshes=HandMesh(
                vertices=torch.where(right, mesh.vertices, mirrored_mesh.vertices),
                joints=torch.where(right, mesh.joints, mirrored_mesh.joints),
            ),
            is_right=is_right,
            cam_t=torch.where(is_right[:, None], cam_t, cam_t * cam_t.new_tensor([-1.0, 1.0, 1.0])),
            focal_length=size * focal_length,
            confidence=confidence,
            prompts=prompts,
        )

    def trimeshes(self, hands: TextToHandMeshOutput) -> list[trimesh.Trimesh]:
        """Meshes in the camera frame, metres, faces turned outward."""
        vertices = hands.meshes.translated(hands.cam_t).vertices.cpu().numpy()
        faces = self.hand_model.faces.cpu().numpy()
        sides = hands.is_right.tolist()
        return [
            trimesh.Trimesh(points, faces if right else faces[:, ::-1], process=False)
            for points, right in zip(vertices, sides, strict=True)
        ]
