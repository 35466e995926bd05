"""Shared by all tests: shape and type checks at run time, no network, few threads, real photos when present."""

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "Agg")

# Must stand before any import of our packages: every annotated function is then checked when it is called.
install_import_hook(["recon", "synth", "pipelines", "eval"], "beartype.beartype")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden results and real photos beside the checkout; tests that need it skip without it."""
    folder = Path(os.environ.get("HANDLOOM_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("no folder of shared test data beside the checkout")
    return folder


@pytest.fixture(scope="session")
def real_hands(shared: Path) -> Path:
    """Real photographs of hands (20 gestures, and small annotated samples)."""
    folder = shared / "real_hands"
    if not folder.is_dir():
        pytest.skip("no real photographs beside the checkout")
    return folder
