"""`handloom COMMAND`: one typed, documented function per user job, made into flags by jsonargparse (DESIGN section 7).

Nothing heavy is imported before a command is chosen. A mistake of the user ends in one sentence and exit code 2,
a run that stopped half way in exit code 1; HANDLOOM_DEBUG=1 shows the traceback instead.
"""

import importlib
import inspect
import logging
import os
import re
import sys
import typing
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Function = Callable[..., int | None]

# name -> "module:function", or a group of such names, each with the line that `--help` shows
COMMANDS: dict[str, tuple[str | dict[str, str], str]] = {
    "generate": ("pipelines.generate:generate", "text prompts in, a labelled hand-image data set out"),
    "pose": ("pipelines.pose:pose", "text to hand meshes, with a sheet"),
    "render": ("pipelines.render:render", "a data set from the rendered world"),
    "convert": ("pipelines.convert:convert", "public data sets into the one record"),
    "train": ("pipelines.train:train", "train any model from its YAML file"),
    "evaluate": (
        {
            "reconstruction": "pipelines.evaluate:reconstruction",
            "generation": "pipelines.evaluate:generation",
            "text-to-mesh": "pipelines.evaluate:text_to_mesh",
            "predictions": "pipelines.evaluate:predictions",
        },
        "the scores of estimators and generators",
    ),
    "score": ("pipelines.score:score", "score a folder of hand images against a reference"),
    "assets": (
        {
            "list": "pipelines.assets:list_assets",
            "fetch": "pipelines.assets:fetch",
            "import-mano": "pipelines.assets:import_mano",
        },
        "third-party files: what is here, missing, licensed how",
    ),
    "bench": (
        {
            "render": "pipelines.bench.render:render",
            "world": "pipelines.bench.world:world",
            "memory": "pipelines.bench.memory:memory",
            "data": "pipelines.bench.data:data",
        },
        "speed and memory, side by side",
    ),
}


class UsageError(ValueError):
    """A command line that cannot be understood; the message is one sentence for the user."""


def _overview(name: str, rows: Mapping[str, str]) -> str:
    """The help of a group of commands."""
    width = max(map(len, rows))
    lines = "\n".join(f"  {key:<{width}}  {text}" for key, text in rows.items())
    return f"usage: {name} COMMAND ...\n\n{lines}\n\n`{name} COMMAND --help` shows the flags of one."


def _choose(arguments: list[str]) -> tuple[str, str, list[str]] | str:
    """The command's full name, its target and the arguments left over; or the help to show."""
    rows = {name: text for name, (_, text) in COMMANDS.items()}
    if not arguments or arguments[0] in ("-h", "--help"):
        return _overview("handloom", rows)
    first, *rest = arguments
    if first not in COMMANDS:
        raise UsageError(f"There is no command {first!r}; the commands are {', '.join(COMMANDS)}.")
    target = COMMANDS[first][0]
    if isinstance(target, str):
        return f"handloom {first}", target, rest
    if not rest or rest[0] in ("-h", "--help"):
        return _overview(f"handloom {first}", {name: _summary(path) for name, path in target.items()})
    if rest[0] not in target:
        raise UsageError(f"`handloom {first}` knows {', '.join(target)}, not {rest[0]!r}.")
    return f"handloom {first} {rest[0]}", target[rest[0]], rest[1:]


def load(target: str) -> Function:
    """The function behind "module:function"."""
    module, _, function = target.partition(":")
    return getattr(importlib.import_module(module), function)


def _summary(target: str) -> str:
    """The first line of a command's docstring."""
    return (inspect.getdoc(load(target)) or "").split("\n")[0]


def build_parser(function: Function, name: str) -> Any:
    """A jsonargparse parser from a function's signature, types and docstring.

    Parameters without a default that may be given by position become positional arguments (a list takes one or
    more), all others flags with dashes; `--config FILE.yaml` gives any of them and flags on top of it win.

    Args:
        function: typed and documented in the google style.
        name: what the usage line calls it.
    """
    import docstring_parser
    import jsonargparse

    doc = docstring_parser.parse(inspect.getdoc(function) or "")
    texts = {entry.arg_name: " ".join((entry.description or "").split()) for entry in doc.params}
    parser = jsonargparse.ArgumentParser(
        prog=name, description=doc.short_description, exit_on_error=False, allow_abbrev=False
    )
    hints = typing.get_type_hints(function)
    parameters = inspect.signature(function).parameters
    if "config" not in parameters:
        parser.add_argument("--config", action="config", help="YAML file with any of these settings")
    for key, parameter in parameters.items():
        hint, text = hints[key], texts.get(key, "")
        if hint is bool and parameter.default is False:
            parser.add_argument(f"--{key.replace('_', '-')}", action="store_true", help=text)
            continue
        if parameter.default is not inspect.Parameter.empty:
            parser.add_argument(f"--{key.replace('_', '-')}", type=hint, default=parameter.default, help=text)
        elif parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            parser.add_argument(f"--{key.replace('_', '-')}", type=hint, required=True, help=text)
        elif typing.get_origin(hint) in (list, Sequence, tuple):
            parser.add_argument(key, type=typing.get_args(hint)[0], nargs="+", help=text)
        else:
            parser.add_argument(key, type=hint, help=text)
    return parser


def call(function: Function, name: str, arguments: list[str]) -> int:
    """Parse `arguments` by the function's signature and call it.

    Raises:
        UsageError: the arguments do not fit.
    """
    import argparse

    import jsonargparse

    parser = build_parser(function, name)
    by_flags = all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in inspect.signature(function).parameters.values())
    if by_flags and arguments and not arguments[0].startswith("-"):
        arguments = ["--config", *arguments]  # `handloom train CONFIG.yaml`
    try:
        settings = parser.instantiate(parser.parse_args(arguments))
    except (argparse.ArgumentError, jsonargparse.ArgumentError, TypeError) as error:
        raise UsageError(f"{name}: {_plain(_sentence(error))} (`{name} --help` shows what is allowed).") from error
    keywords = {key: settings[key] for key in inspect.signature(function).parameters}
    return function(**keywords) or 0


def _sentence(error: BaseException) -> str:
    """An exception's message on one line, without the trailing full stop."""
    lines = [line.strip().removeprefix("- ") for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines) or type(error).__name__
    return text.removesuffix(".")


def _plain(message: str) -> str:
    """A complaint of jsonargparse in the words of the command line."""
    found = re.fullmatch(r'Parser key "([\w.]+)": Expected an? (.*?)\. Got value: (.*)', message)
    if not found:
        return message
    key, kind, value = found.groups()
    kind = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", kind).replace("typing.Literal", "one of ")
    return f"--{key.replace('_', '-')} is {value!r}, allowed is {kind}"


def _is_for_the_user(error: Exception) -> bool:
    """Whether the message says what the user can do: our own errors, wrong values, files and disks."""
    ours = type(error).__module__.split(".")[0] in ("recon", "synth", "pipelines", "eval")
    return ours or isinstance(error, ValueError | OSError)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code."""
    try:
        chosen = _choose(list(arguments))
        if isinstance(chosen, str):
            sys.stdout.write(chosen + "\n")
            return 0
        name, target, rest = chosen
        return call(load(target), name, rest)
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; the same command goes on from what is finished.\n")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("HANDLOOM_DEBUG") or not _is_for_the_user(error):
            raise
        sys.stderr.write(_sentence(error) + ".\n")
        return getattr(error, "exit_code", 2)


def main() -> None:
    """The entry point of `handloom` and of `python -m pipelines.cli` (under `accelerate launch`, say)."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    if not os.environ.get("HANDLOOM_DEBUG"):  # notices of libraries for their callers mean nothing to a user
        warnings.simplefilter("ignore")
        for library in ("DIFFUSERS", "TRANSFORMERS"):
            os.environ.setdefault(f"{library}_VERBOSITY", "error")
    # Before torch is loaded: threads that spin while they wait take the cores from other ranks and other programs.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for noisy in ("httpx", "absl", "matplotlib", "PIL", "jax", "accelerate"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
