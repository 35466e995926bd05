"""The set-up script says in one sentence what is missing, and leaves nothing that looks finished."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOOLS = ["bash", "dirname", "mkdir", "cat", "sha256sum", "cut", "paste", "grep", "sed", "tail", "id", "ldconfig"]


@pytest.fixture
def checkout(repository: Path, tmp_path: Path) -> Path:
    """The files that the script reads, in an empty folder, and a PATH with the barest tools."""
    for library in ("libEGL.so.1", "libGLESv2.so.2", "libGL.so.1", "libgthread-2.0.so.0"):
        try:
            ctypes.CDLL(library)
        except OSError:
            pytest.skip(f"{library} is not installed here, and the script would see to that first")
    root, tools = tmp_path / "checkout", tmp_path / "bin"
    tools.mkdir()
    (root / "scripts").mkdir(parents=True)
    for name in ("scripts/set_up.sh", "requirements.lock", "pyproject.toml"):
        shutil.copy(repository / name, root / name)
    for tool in TOOLS:
        found = shutil.which(tool, path=f"{os.environ['PATH']}:/sbin:/usr/sbin")
        if not found:
            pytest.skip(f"no {tool} on this system")
        (tools / tool).symlink_to(found)
    return root


def run(checkout: Path, **environment: str) -> str:
    """What the script says when it fails."""
    settings = {"HOME": str(checkout), "PATH": str(checkout.parent / "bin"), **environment}
    command = ["bash", "scripts/set_up.sh"]
    done = subprocess.run(command, cwd=checkout, env=settings, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and done.stdout == ""
    return done.stderr


def test_no_python(checkout: Path) -> None:
    assert run(checkout) == (
        "handloom: Python 3.11 or newer is missing; run `apt-get install python3 python3-venv` as root.\n"
    )
    assert not (checkout / ".venv").exists()


def test_no_network(checkout: Path) -> None:
    uv, python = shutil.which("uv"), shutil.which("python3")
    if not uv or not python:
        pytest.skip("no uv on this system")
    path = f"{checkout.parent / 'bin'}:{Path(uv).parent}:{Path(python).parent}:/usr/bin:/bin"
    said = run(checkout, PATH=path, HOME=os.environ["HOME"], UV_OFFLINE="1", UV_CACHE_DIR=str(checkout / "cache"))
    assert "could not be installed" in said and "check the network" in said
    assert "Traceback" not in said and not (checkout / ".venv" / ".handloom-set-up").exists()
