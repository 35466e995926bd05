"""Feature extractors for FID-H and KID-H: `handclip`, which ships, and `inception`, which the user fetches.

A figure belongs to its extractor: the name and a fingerprint of the weights go wherever the features go.
"""

import hashlib
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32

from recon.assets import ASSETS, asset_path
from synth.handclip.model import WEIGHTS, HandClip

ExtractorName = Literal["handclip", "inception"]
INCEPTION_SIZE = 299


class ExtractorError(ValueError):
    """Weights that are missing or not the known ones; the message is one sentence for the user."""


@runtime_checkable
class FeatureExtractor(Protocol):
    """Crops in, feature vectors out.

    Attributes:
        name: stands beside every figure.
        fingerprint: first 16 hex digits of the weights' sha256.
        size: side of the crops it takes, pixels.
    """

    name: str
    fingerprint: str
    size: int

    def __call__(self, crops: Float32[np.ndarray, "b s s 3"]) -> Float32[np.ndarray, "b d"]:
        """Features of RGB crops with values in 0..255."""
        ...


class InceptionExtractor:
    """Inception-v3 as clean-fid uses it: NVIDIA's TorchScript file, pooled features of width 2048.

    Args:
        path: the file; by default the asset `inception`.

    Raises:
        ExtractorError: the file is not the pinned one. It is checked before anything of it is read as code.
        AssetError: no path is given and the asset is not here.
    """

    name = "inception"
    size = INCEPTION_SIZE

    def __init__(self, path: str | Path | None = None) -> None:
        file = Path(path) if path is not None else asset_path("inception")
        if not file.is_file():
            raise ExtractorError(f"{file} does not exist or is not a regular file.")
        found, pinned = hashlib.sha256(file.read_bytes()).hexdigest(), ASSETS["inception"].sha256
        if found != pinned:
            raise ExtractorError(f"{file} has sha256 {found}; allowed is {pinned} ({ASSETS['inception'].file_name}).")
        self.fingerprint = found[:16]
        self._layers = torch.jit.load(str(file), map_location="cpu").eval().layers  # type: ignore[no-untyped-call]

    def __call__(self, crops: Float32[np.ndarray, "b s s 3"]) -> Float32[np.ndarray, "b d"]:
        """Pooled features [b, 2048] of crops [b, 299, 299, 3] in 0..255."""
        with torch.inference_mode():
            pixels = (torch.from_numpy(crops).permute(0, 3, 1, 2) - 128.0) / 128.0
            features: torch.Tensor = self._layers(pixels)
        return features.flatten(1).float().numpy()


class HandClipExtractor:
    """The image tower of HandCLIP, the small model that ships; features of width 128.

    Args:
        path: folder of the model; the shipped one by default.

    Raises:
        FileError: no such model.
    """

    name = "handclip"

    def __init__(self, path: str | Path | None = None) -> None:
        self._model = HandClip.from_pretrained(path)
        weights = Path(path or WEIGHTS) / "model.safetensors"
        self.fingerprint = hashlib.sha256(weights.read_bytes()).hexdigest()[:16]
        self.size = self._model.config.image_size

    def __call__(self, crops: Float32[np.ndarray, "b s s 3"]) -> Float32[np.ndarray, "b d"]:
        """Features [b, 128] of crops in 0..255."""
        pixels = torch.from_numpy(crops.round().astype(np.uint8))
        return self._model.encode_image(pixels).cpu().numpy()


def load_extractor(name: ExtractorName, file: str | Path | None = None) -> FeatureExtractor:
    """The extractor of that name.

    Args:
        name: `handclip` (ships) or `inception` (the user's download).
        file: Inception's TorchScript file, or a folder with another HandCLIP; the known places by default.

    Raises:
        ExtractorError: the weights are not the known ones.
        AssetError: Inception's file is not here.
        FileError: no HandCLIP there.
    """
    return InceptionExtractor(file) if name == "inception" else HandClipExtractor(file)
