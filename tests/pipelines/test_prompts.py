"""Prompts are real input: every line is used, counted or named in one sentence; seeds follow from the index."""

import logging
from pathlib import Path

import pytest

from pipelines.prompts import Prompt, PromptError, SamplePlan, prompt_of_text, read_prompts
from recon.files import FileError


def test_text_lines_of_any_script(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "p.txt"
    file.write_bytes("\ufeffa fist\r\n\r\n   \n握拳 \u2028 ✊\n# five\nрука".encode())
    assert [prompt.text for prompt in read_prompts(file)] == ["a fist", "握拳 \u2028 ✊", "# five", "рука"]
    assert "skipped 2 empty" in caplog.text


def test_jsonl(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text('{"prompt": " a fist ", "seed": 3, "control": "pose", "num": 2}\n{"prompt": "手"}\n')
    assert read_prompts(file) == [Prompt("a fist", 3, "pose", 2), Prompt("手")]


@pytest.mark.parametrize(
    "line, word",
    [
        ("{prompt: fist}", "not a line of JSON"),
        ('["fist"]', 'no "prompt"'),
        ('{"prompt": ""}', 'no "prompt"'),
        ('{"prompt": 3}', 'no "prompt"'),
        ('{"prompt": "a", "seeds": 3}', "'seeds'"),
        ('{"prompt": "a", "seed": "x"}', "'x'"),
        ('{"prompt": "a", "seed": true}', "True"),
        ('{"prompt": "a", "control": "depth"}', "'depth'"),
        ('{"prompt": "a", "num": 0}', "num is 0"),
        ('{"prompt": "\\ud800"}', "UTF-8"),
        ("[" * 100_000, "not a line of JSON"),
    ],
)
def test_a_bad_jsonl_line_is_named(tmp_path: Path, line: str, word: str) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text('{"prompt": "ok"}\n\n' + line + "\n")
    with pytest.raises(PromptError) as caught:
        read_prompts(file)
    assert "line 3" in str(caught.value) and word in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_are_no_prompts(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="does not exist"):
        read_prompts(tmp_path / "nowhere.txt")
    with pytest.raises(FileError, match="is a folder"):
        read_prompts(tmp_path)
    for name, data, word in (
        ("image", b"\x89PNG\r\n\x1a\n\0\0", "no UTF-8"),
        ("utf16", "a fist".encode("utf-16"), "no UTF-8"),
        ("zeros", b"a\0b", "zero bytes"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(FileError, match=word):
            read_prompts(tmp_path / name)
    (tmp_path / "empty").write_text("\n \n")
    with pytest.raises(PromptError, match="no prompt"):
        read_prompts(tmp_path / "empty")
    (tmp_path / "long").write_text("ok\n" + "hand " * 30_000)
    with pytest.raises(PromptError, match="line 2.*149,999 characters"):
        read_prompts(tmp_path / "long")


def test_the_command_line_prompt() -> None:
    assert prompt_of_text(" ✋ ") == Prompt("✋")
    for text, word in (("  ", "empty"), ("\udcff", "UTF-8"), ("a" * 100_001, "100,001")):
        with pytest.raises(PromptError, match=word):
            prompt_of_text(text)


def test_samples_follow_from_their_index(caplog: pytest.LogCaptureFixture) -> None:
    prompts = [Prompt("a"), Prompt("b", seed=5, num=2), Prompt("c", control="pose")]
    plan = SamplePlan(prompts, 10, seed=0, control="mesh")
    assert "".join(sample.prompt for sample in plan) == "abbcabbcab"
    assert [sample.control for sample in plan[2:5]] == ["mesh", "pose", "mesh"]
    assert len(SamplePlan(prompts, None, 0, "mesh")) == 4
    seeds = {sample.seed(attempt) for sample in plan for attempt in range(3)}
    assert len(seeds) == 30 and all(0 <= seed < 2**63 for seed in seeds)
    other = SamplePlan(prompts, 10, seed=1, control="mesh")
    same = [a.seed() == b.seed() for a, b in zip(plan, other, strict=True)]
    assert same == [sample.prompt == "b" for sample in plan]
    assert plan.fingerprint() == SamplePlan(prompts, 99, 7, "pose").fingerprint()
    assert plan.fingerprint() != SamplePlan(prompts[::-1], 10, 0, "mesh").fingerprint()
    with caplog.at_level(logging.WARNING):
        SamplePlan(prompts, 3, 0, "mesh")
    assert "first 2 of 3 prompts" in caplog.text
