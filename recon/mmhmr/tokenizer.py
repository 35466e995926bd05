"""VQ-MANO (paper 000, sec. 3.1, B): hand rotations <-> 64 tokens of a codebook of 2048 codes, 256 wide.

1D convolutions run along the 16 joints, whose order puts the three joints of a finger side by side; each joint then
unfolds into its share of the tokens.
"""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from recon.files import FileError
from recon.hand.model import HandModel
from recon.mmhmr.quantizer import Codebook, Quantized

JOINTS = 16
SHIPPED = Path(__file__).parent / "weights" / "vq_mano"


class ResBlock(nn.Module):
    """Two convolutions of width 3 around a skip connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(width, width, 3, padding=1)
        self.second = nn.Conv1d(width, width, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c n"]) -> Float[Tensor, "b c n"]:
        """Residual step."""
        return x + self.second(functional.silu(self.first(functional.silu(x))))


class VQMano(ModelMixin, ConfigMixin):
    """Tokenizer of hand rotations.

    Args:
        num_tokens: tokens L of a pose; a multiple of 16.
        codebook_size: codes K.
        code_dim: width D of a code.
        width: channels of the convolutions.
        token_rank: dimensions that a token's latent passes through before it widens to `code_dim` (ours): it then says
            so little that 2048 codes cover it densely, and training takes thousands of steps, not 400,000.
        joint_blocks: ResBlocks along the 16 joints, in each of encoder and decoder.
        token_blocks: ResBlocks along the tokens, in each of encoder and decoder.
        hand_fingerprint: the hand whose mesh the training compared.
    """

    @register_to_config
    def __init__(
        self,
        num_tokens: int = 64,
        codebook_size: int = 2048,
        code_dim: int = 256,
        width: int = 128,
        token_rank: int = 2,
        joint_blocks: int = 3,
        token_blocks: int = 1,
        hand_fingerprint: str = "",
    ) -> None:
        super().__init__()
        if num_tokens % JOINTS:
            raise ValueError(f"num_tokens is {num_tokens}; it must be a multiple of the {JOINTS} joints.")
        self.share = num_tokens // JOINTS
        self.joint_in = nn.Conv1d(6, width, 3, padding=1)
        self.joint_place = nn.Parameter(0.1 * torch.randn(width, JOINTS))
        self.joint_encoder = nn.Sequential(*(ResBlock(width) for _ in range(joint_blocks)))
        self.unfold = nn.Conv1d(width, self.share * width, 1)
        self.token_encoder = nn.Sequential(
            *(ResBlock(width) for _ in range(token_blocks)),
            nn.SiLU(),
            nn.Conv1d(width, token_rank, 1),
            nn.Tanh(),
            nn.Conv1d(token_rank, code_dim, 1, bias=False),
        )
        self.codebook = Codebook(codebook_size, code_dim)
        self.token_in = nn.Conv1d(code_dim, width, 1)
        self.token_place = nn.Parameter(0.1 * torch.randn(width, num_tokens))
        self.token_decoder = nn.Sequential(*(ResBlock(width) for _ in range(token_blocks)))
        self.fold = nn.Conv1d(self.share * width, width, 1)
        self.joint_decoder = nn.Sequential(
            *(ResBlock(width) for _ in range(joint_blocks)), nn.SiLU(), nn.Conv1d(width, 6, 3, padding=1)
        )

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, path: str | Path | None = None, hand: HandModel | None = None, **options: Any
    ) -> VQMano:
        """Load a trained tokenizer: a folder, a hub id, or by default the one that ships with handloom.

        Args:
            path: where it lies.
            hand: the hand it is to be used with; checked against the training's when given.
            **options: of diffusers' `ModelMixin.from_pretrained`.

        Raises:
            HandMismatchError: trained on another hand.
            FileError: the path is neither a folder that holds one nor the form of a hub id.
        """
        inside = Path(path or SHIPPED) / options.get("subfolder", "")
        if not (inside / "config.json").is_file() and str(path).count("/") != 1:
            raise FileError(f"{inside} holds no VQ-MANO; `handloom train configs/recon/vq_mano.yaml` makes one.")
        options = {"torch_dtype": torch.float32, "use_safetensors": True, **options}
        model = super().from_pretrained(str(path or SHIPPED), **options)
        if hand is not None:
            hand.check_fingerprint(model.config.hand_fingerprint, f"the VQ-MANO in {path or SHIPPED}")
        return model.eval()

    def save_half(self, folder: Path) -> None:
        """Write config and safetensors in half precision."""
        copy.deepcopy(self).half().save_pretrained(folder)

    def fingerprint(self) -> str:
        """First 16 hex digits of the sha256 over the weights in half precision: what a token means."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.state_dict().items()):
            if name not in ("codebook.counts", "codebook.sums", "codebook.step"):
                digest.update(name.encode() + tensor.detach().half().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def latents(self, theta: Float[Tensor, "b 16 3 3"]) -> Float[Tensor, "b l d"]:
        """Rotation matrices (global orientation first, then MANO's joint order) to continuous latents z."""
        sixd = theta[..., :2].transpose(-1, -2).flatten(-2).transpose(1, 2)  # [b, 6, 16]
        x = self.joint_encoder(self.joint_in(sixd) + self.joint_place)  # [b, w, 16]
        x = self.unfold(x).unflatten(1, (-1, self.share)).transpose(-1, -2).flatten(2)  # [b, w, l]
        return self.token_encoder(x).transpose(1, 2)

    def encode(self, theta: Float[Tensor, "b 16 3 3"]) -> Int64[Tensor, "b l"]:
        """Rotation matrices to tokens."""
        return self.codebook.nearest(self.latents(theta).float())

    def decode_codes(self, codes: Float[Tensor, "b l d"]) -> Float[Tensor, "b 16 3 3"]:
        """Codes, or expected codes, to rotation matrices; differentiable."""
        x = self.token_decoder(self.token_in(codes.transpose(1, 2)) + self.token_place)  # [b, w, l]
        x = x.unflatten(2, (JOINTS, self.share)).transpose(-1, -2).flatten(1, 2)  # [b, w share, 16]
        sixd = self.joint_decoder(self.fold(x)).transpose(1, 2).float()  # [b, 16, 6]
        return sixd_to_rotmat(sixd + sixd.new_tensor([1.0, 0, 0, 0, 1, 0]))

    def decode_tokens(self, tokens: Int64[Tensor, "b l"]) -> Float[Tensor, "b 16 3 3"]:
        """Tokens to rotation matrices."""
        return self.decode_codes(self.codebook.embedding[tokens])

    def expected_codes(self, logits: Float[Tensor, "b l k"]) -> Float[Tensor, "b l d"]:
        """Mean codes under the token distributions (paper 000, sec. 3.3): softmax(logits) times the codebook."""
        return logits.softmax(-1) @ self.codebook.embedding

    def forward(self, theta: Float[Tensor, "b 16 3 3"]) -> tuple[Float[Tensor, "b 16 3 3"], Quantized]:
        """Encode, quantize, decode."""
        quantized = self.codebook(self.latents(theta))
        return self.decode_codes(quantized.codes), quantized


def sixd_to_rotmat(sixd: Float[Tensor, "*b 6"]) -> Float[Tensor, "*b 3 3"]:
    """Gram-Schmidt of two columns and their cross product."""
    first = functional.normalize(sixd[..., :3], dim=-1)
    second = sixd[..., 3:] - (first * sixd[..., 3:]).sum(-1, keepdim=True) * first
    second = functional.normalize(second, dim=-1)
    return torch.stack((first, second, torch.linalg.cross(first, second)), -1)
