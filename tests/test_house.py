"""House rules that a machine can hold: sizes, openings, paths, configs, the lock, the scripts."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from pipelines.weights import STAGES

CODE = ("recon", "synth", "pipelines", "eval", "tests", "scripts")
TEXT = {".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".sh", ".lock", ".jsonl", ".html", ""}
ROOT = Path(__file__).resolve().parent.parent


def tracked() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def python_files() -> list[Path]:
    return [path for folder in CODE for path in sorted((ROOT / folder).rglob("*.py"))]


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in python_files()}
    assert {str(path): length for path, length in lengths.items() if length > 400} == {}


def test_every_file_opens_with_what_it_does() -> None:
    silent = [path for path in python_files() if not path.read_text().startswith(('"""', 'r"""', "#!"))]
    assert silent == []


def test_no_drawer_for_odds_and_ends() -> None:
    drawers = {"utils", "util", "misc", "helpers", "common"}
    assert [path for path in python_files() if drawers & {*path.relative_to(ROOT).parts, path.stem}] == []


def test_nothing_is_left_for_later() -> None:
    later = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "raise " + "NotImplementedError")))
    found = [path for path in python_files() if later.search(path.read_text())]
    # An abstract method of the training task is allowed to say that a task must define it.
    assert [path for path in found if path.name != "training.py"] == []


def test_no_paths_of_one_machine_and_no_addresses_of_package_indexes() -> None:
    private = re.compile(
        "|".join(("/wo" + "rk/", "/ro" + "ot/", "/tm" + "p/hl", r"/ho" + r"me/\w", "index" + "-url=http"))
    )
    texts = [path for path in tracked() if path.suffix in TEXT and path.name != "LICENSE"]
    found = {}
    for path in texts:
        match = private.search(path.read_text(errors="replace"))
        if match:
            found[str(path.relative_to(ROOT))] = match.group()
    assert found == {}


def test_no_large_files_but_weights() -> None:
    sizes = {path.relative_to(ROOT): path.stat().st_size for path in tracked()}
    assert sum(sizes.values()) < 80e6
    weights = sum(size for path, size in sizes.items() if path.suffix == ".safetensors")
    assert weights <= 64e6


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.yaml")), ids=lambda path: path.name)
def test_every_config_is_yaml_with_settings(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text()), dict)


def test_make_weights_trains_every_shipped_recipe_after_what_it_needs() -> None:
    order = [stage.arguments[2] for stage in STAGES if stage.arguments[0] == "train"]
    recipes = {
        str(path.relative_to(ROOT)): yaml.safe_load(path.read_text())
        for path in sorted((ROOT / "configs").rglob("*.yaml"))
    }
    shipped = {
        path: recipe
        for path, recipe in recipes.items()
        if recipe.get("training", {}).get("out", "").startswith("build/")
    }
    assert sorted(order) == sorted(shipped)
    made = {recipe["training"]["out"]: order.index(path) for path, recipe in shipped.items()}
    for path, recipe in shipped.items():
        needs = [out for out in made if f"{out}/" in str(recipe["task"])]
        assert all(made[out] < order.index(path) for out in needs), (path, needs)


def test_the_lock_pins_every_package_by_hash() -> None:
    text = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"\n(?=[a-zA-Z0-9])", text)
    assert len(entries) > 100 and all("==" in entry and "--hash=sha256:" in entry for entry in entries)
    assert "://" not in text
    declared = re.findall(r'^    "([a-z0-9-]+)', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert [name for name in declared if name in text and f"\n{name}==" not in "\n" + text] == []


@pytest.mark.parametrize("path", [*sorted((ROOT / "scripts").glob("*.sh")), ROOT / ".ci" / "run"], ids=lambda p: p.name)
def test_scripts_are_sound(path: Path) -> None:
    assert path.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", path], check=True)
