"""The command line: flags from signatures, YAML under flags, one sentence for a mistake."""

import inspect
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import pytest

from pipelines import cli


def weave(paths: list[Path], *, out: Path, num_images: int = 3, control: Literal["mesh", "pose"] = "mesh") -> int:
    """Weave a cloth.

    Args:
        paths: threads to use.
        out: folder to write.
        num_images: how many.
        control: what guides.
    """
    out.write_text(f"{[str(path) for path in paths]} {num_images} {control}")
    return 0


def test_flags_yaml_and_positionals(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("num_images: 7\ncontrol: pose\n")
    arguments = ["a", "b", "--out", str(tmp_path / "o"), "--config", str(config), "--num-images", "9"]
    assert cli.call(weave, "weave", arguments) == 0
    assert (tmp_path / "o").read_text() == "['a', 'b'] 9 pose"


@pytest.mark.parametrize(
    "arguments, word",
    [
        (["a"], "out"),
        (["a", "--out", "x", "--control", "zz"], "zz"),
        (["a", "--out", "x", "--num-images", "many"], "many"),
        (["a", "--out", "x", "--bogus", "3"], "bogus"),
        (["--out", "x"], "paths"),
        (["a", "--out", "x", "--config", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_a_wrong_line_is_one_sentence(arguments: list[str], word: str) -> None:
    with pytest.raises(cli.UsageError) as caught:
        cli.call(weave, "weave", arguments)
    assert word in str(caught.value) and "\n" not in str(caught.value)


def test_errors_become_sentences(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["waeve"]) == 2
    assert "generate" in capsys.readouterr().err
    assert cli.run(["bench", "everything"]) == 2
    message = capsys.readouterr().err
    assert "everything" in message and message.count("\n") == 1 and "Traceback" not in message


def collect(*, out: Path, num_images: int = 3) -> None:
    """Collect.

    Args:
        out: file.
        num_images: how many.
    """
    out.write_text(str(num_images))


def test_a_yaml_file_alone_is_the_config(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(f"num_images: 7\nout: {tmp_path / 'o'}\n")
    assert cli.call(collect, "collect", [str(config), "--num-images", "8"]) == 0
    assert (tmp_path / "o").read_text() == "8"


TARGETS = [
    target
    for targets, _ in cli.COMMANDS.values()
    for target in ([targets] if isinstance(targets, str) else targets.values())
]


@pytest.mark.parametrize("target", TARGETS)
def test_every_command_is_there_and_documented(target: str) -> None:
    function = cli.load(target)
    parser = cli.build_parser(function, "handloom")
    assert parser.description
    texts = {action.dest: action.help for action in parser._actions}
    silent = [name for name in inspect.signature(function).parameters if not texts.get(name)]
    assert not silent, f"{target} does not say what {silent} is"


def test_help_is_fast_and_names_every_command() -> None:
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "pipelines.cli", "--help"], capture_output=True, text=True)
    assert time.perf_counter() - start < 1.0
    assert done.returncode == 0 and all(name in done.stdout for name in cli.COMMANDS)


def test_mistake_of_a_user_leaves_no_traceback() -> None:
    done = subprocess.run([sys.executable, "-m", "pipelines.cli", "nonsense"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and done.stdout == ""
