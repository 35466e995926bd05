"""Prompts as people write them: a text file, JSONL or the command line, and the samples asked for (DESIGN section 8).

A sample's prompt and seed follow from its index alone, so any process can make any sample.
"""

import bisect
import hashlib
import itertools
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pipelines.choices import Control
from recon.files import FileError

log = logging.getLogger(__name__)

MAX_FILE_BYTES = 256 << 20
MAX_CHARACTERS = 100_000
FIELDS = ("prompt", "seed", "control", "num")


class PromptError(ValueError):
    """Prompts that cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True)
class Prompt:
    """One line of the user's prompts.

    Attributes:
        text: what the picture should show.
        seed: seed of this prompt's samples; None takes the run's.
        control: what guides the painting; None takes the run's.
        num: samples in each round through the prompts.
    """

    text: str
    seed: int | None = None
    control: Control | None = None
    num: int = 1


@dataclass(frozen=True)
class Sample:
    """What one sample of a run is asked to be."""

    index: int
    prompt: str
    control: Control
    base_seed: int

    def seed(self, attempt: int = 0) -> int:
        """The seed of an attempt: a hash of the run's (or the prompt's) seed, the index and the attempt; 63 bits."""
        digest = hashlib.sha256(f"handloom {self.base_seed} {self.index} {attempt}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1


class SamplePlan(Sequence[Sample]):
    """The samples of a run, in rounds through the prompts.

    Args:
        prompts: at least one.
        num_samples: how many in all; None makes one round.
        seed: the run's.
        control: the run's.
    """

    def __init__(self, prompts: Sequence[Prompt], num_samples: int | None, seed: int, control: Control) -> None:
        self.prompts, self.run_seed, self.control = tuple(prompts), seed, control
        self._ends = list(itertools.accumulate(prompt.num for prompt in prompts))
        self._length = self._ends[-1] if num_samples is None else num_samples
        used = bisect.bisect_right(self._ends, self._length - 1) + 1
        if 0 < self._length < self._ends[-1] and used < len(prompts):
            log.warning("%d images are asked for, so only the first %d of %d prompts are used.",
                        self._length, used, len(prompts))  # fmt: skip

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:
        """The sample at an index, or those of a slice."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._length))]
        if not 0 <= index < self._length:
            raise IndexError(index)
        prompt = self.prompts[bisect.bisect_right(self._ends, index % self._ends[-1])]
        seed = self.run_seed if prompt.seed is None else prompt.seed
        return Sample(index, prompt.text, prompt.control or self.control, seed)

    def fingerprint(self) -> str:
        """A hash of everything the prompts decide."""
        lines = [[prompt.text, prompt.seed, prompt.control, prompt.num] for prompt in self.prompts]
        return hashlib.sha256(json.dumps(lines).encode()).hexdigest()[:16]


def read_prompts(path: Path) -> list[Prompt]:
    """Prompts from a UTF-8 text file, one per line, or from JSONL with the fields of `Prompt` (`prompt`, `seed` ...).

    Empty lines are skipped and counted in a warning.

    Raises:
        FileError: missing, a folder, unreadable or no text.
        PromptError: no prompt in it, or a line that is wrong; the line is named.
    """
    text = _read_text(path)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
    as_json = path.suffix.lower() in (".jsonl", ".ndjson", ".json")
    kept = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if not kept:
        raise PromptError(f"{path} holds no prompt; write one per line.")
    if len(kept) < len(lines):
        log.warning("%s: skipped %d empty line(s).", path, len(lines) - len(kept))
    parse = _parse_json_line if as_json else _parse_text_line
    return [parse(line, f"{path}, line {number}") for number, line in kept]


def prompt_of_text(text: str) -> Prompt:
    """The prompt given on the command line.

    Raises:
        PromptError: empty, too long, or bytes that are no UTF-8.
    """
    if not text.strip():
        raise PromptError("--prompt is empty; describe a hand, such as 'a fist' or 'a left hand, palm up'.")
    return _parse_text_line(text.strip(), "--prompt")


def _read_text(path: Path) -> str:
    if not path.exists():
        raise FileError(f"The prompt file {path} does not exist.")
    if not path.is_file():
        raise FileError(f"{path} is a folder; --prompts takes a text or JSONL file.")
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise FileError(f"{path} is larger than the {MAX_FILE_BYTES:,} bytes allowed for prompts.")
        data = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(
            f"{path} is no UTF-8 text (byte 0x{data[error.start]:02x} at position {error.start}); "
            "save the prompts as UTF-8, one per line."
        ) from error
    if "\0" in text:
        raise FileError(f"{path} is no text file (it holds zero bytes); write one prompt per line in UTF-8.")
    return text


def _parse_text_line(line: str, where: str) -> Prompt:
    if len(line) > MAX_CHARACTERS:
        raise PromptError(f"{where}: the prompt has {len(line):,} characters; allowed are {MAX_CHARACTERS:,}.")
    try:
        line.encode()
    except UnicodeEncodeError as error:
        raise PromptError(f"{where}: the prompt is no valid UTF-8 text.") from error
    return Prompt(line)


def _parse_json_line(line: str, where: str) -> Prompt:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise PromptError(
            f'{where}: not a line of JSON; write {{"prompt": "a fist"}}, with "seed", "control", "num" as you like.'
        ) from error
    if not isinstance(entry, dict) or not isinstance(entry.get("prompt"), str) or not entry["prompt"].strip():
        raise PromptError(f'{where}: there is no "prompt" with text in it.')
    unknown = sorted(entry.keys() - set(FIELDS))
    if unknown:
        raise PromptError(f"{where}: unknown field {unknown[0]!r}; known are {', '.join(FIELDS)}.")
    seed, control, num = entry.get("seed"), entry.get("control"), entry.get("num", 1)
    if seed is not None and type(seed) is not int:
        raise PromptError(f"{where}: seed is {seed!r}; allowed are whole numbers.")
    if control is not None and control not in get_args(Control):
        raise PromptError(f"{where}: control is {control!r}; allowed are {', '.join(get_args(Control))}.")
    if type(num) is not int or num < 1:
        raise PromptError(f"{where}: num is {num!r}; allowed are whole numbers from 1.")
    text = _parse_text_line(entry["prompt"].strip(), where).text
    return Prompt(text, seed, control, num)
