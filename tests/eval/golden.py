"""Where the reference inputs and results of the metrics lie, and how a test gets them."""

import json
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "golden"


def load_golden(name: str) -> tuple[dict[str, np.ndarray], dict]:
    """Arrays and reference figures of a golden set; skips the test where the folder is not there."""
    if not (FOLDER / f"{name}.npz").is_file():
        pytest.skip(f"the golden set {name} is not beside this checkout (../shared/golden)")
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as arrays:
        return dict(arrays), json.loads((FOLDER / f"{name}.json").read_text())
