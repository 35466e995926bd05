"""Checkpoints that are whole or absent: staged in a temporary folder, renamed, pointed to by LATEST, pruned after.

Accelerate's `save_state` alone writes in place, prunes first, and forgives a missing random state on loading.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator


class TrainingError(ValueError):
    """A run that cannot start or go on, told in one sentence."""


class Checkpoints:
    """`step_*` folders that appear whole or not at all, and the LATEST file that names the one to go on from."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep, self.pointer = folder, keep, folder / "LATEST"

    def latest(self) -> Path | None:
        """The checkpoint to go on from, or None in a fresh folder."""
        if not self.pointer.exists():
            return None
        path = self.folder / self.pointer.read_text().strip()
        if not path.is_dir():
            raise TrainingError(f"{self.pointer} names the checkpoint {path.name}, which does not exist.")
        return path

    def save(self, accelerator: Accelerator, step: int, facts: Mapping[str, Any]) -> Path:
        """Stage in a temporary folder, rename, move the pointer, prune the old ones after."""
        final, staged = self.folder / f"step_{step:08d}", self.folder / f".staged_{step:08d}"
        if accelerator.is_main_process:
            shutil.rmtree(staged, ignore_errors=True)
            staged.mkdir(parents=True)
        accelerator.wait_for_everyone()
        accelerator.save_state(str(staged))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            (staged / "run.json").write_text(json.dumps({"step": step, **facts}, indent=1))
            for file in (path for path in staged.rglob("*") if path.is_file()):
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
            shutil.rmtree(final, ignore_errors=True)
            staged.rename(final)
            write_text(self.pointer, final.name)
            for old in sorted(self.folder.glob("step_*"))[: -self.keep]:
                if old != final:
                    shutil.rmtree(old)
        accelerator.wait_for_everyone()
        return final

    def load(self, accelerator: Accelerator, path: Path, facts: Mapping[str, Any]) -> int:
        """Restore everything and return the number of steps done.

        Raises:
            TrainingError: the run was started with other facts, or a part of the checkpoint is missing.
        """
        saved = json.loads((path / "run.json").read_text())
        for name, value in facts.items():
            if saved.get(name) != value:
                raise TrainingError(
                    f"{path} was trained with {name} = {saved.get(name)!r}, and this run says {value!r}; "
                    "set it back or choose another output folder."
                )
        states = path / f"random_states_{accelerator.process_index}.pkl"
        if not states.is_file():
            raise TrainingError(f"{path} lacks the random state {states.name}, so the run cannot go on as it was.")
        accelerator.load_state(str(path))
        return int(saved["step"])


def write_text(path: Path, text: str) -> None:
    """Replace a small file in one move."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(text)
    temporary.replace(path)
