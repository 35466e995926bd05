"""What the README shows is true: its Python runs, its commands parse, its links and make targets exist."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import cli

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def snippets(language: str) -> list[tuple[str, bool]]:
    """The fenced blocks of a language, and whether the comment `<!-- slow -->` stands before."""
    found = re.findall(rf"(<!-- slow -->\n)?```{language}\n(.*?)```", README, re.DOTALL)
    return [(code, bool(slow)) for slow, code in found]


PYTHON = [pytest.param(code, marks=[pytest.mark.slow] if slow else []) for code, slow in snippets("python")]
COMMANDS = [
    line
    for code, _ in snippets("bash")
    for line in code.replace("\\\n", " ").splitlines()
    if line.startswith("handloom ")
]


@pytest.mark.parametrize("code", PYTHON)
def test_python_runs_as_it_stands(code: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    for name in re.findall(r'save\("([^"]+)"\)', code):
        assert (tmp_path / name).stat().st_size > 0


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_are_understood(line: str) -> None:
    chosen = cli._choose(shlex.split(line, comments=True)[1:])
    assert not isinstance(chosen, str)
    name, target, arguments = chosen
    cli.build_parser(cli.load(target), name).parse_args(arguments)


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    mentioned = set(re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE))
    assert mentioned and mentioned <= targets


def test_links_and_paths_in_the_house_exist() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []
    folder = ROOT
    for indent, name in re.findall(
        r"^( *)([a-z_]+(?:/|\.py)) +\S", README.split("## The house")[1].split("```")[1], re.M
    ):
        folder = folder if indent else ROOT / name
        assert (folder / name if indent else folder).exists(), name
