"""The ASL alphabet's folders: two levels of the same name, a folder for each sign; test photos named by theirs."""

from collections.abc import Sequence
from pathlib import Path

from tests.data_sets.rebuild import encoded
from tests.data_sets.truth import Truth


def write(root: Path, truths: Sequence[Truth], nested: bool = True) -> Path:
    """The photos go round A, B, space and nothing, a quarter of them empty; the test split has one of each."""
    folders = {}
    for split in ("train", "test"):
        outer = root / f"asl_alphabet_{split}"
        folders[split] = outer / outer.name if nested else outer
        folders[split].mkdir(parents=True)
    signs = ("A", "B", "space", "nothing")
    for index, truth in enumerate(truths):
        sign = signs[index % 4]
        (folders["train"] / sign).mkdir(exist_ok=True)
        photo = encoded(truth.image, "JPEG")
        (folders["train"] / sign / f"{sign}{index // 4 + 1}.jpg").write_bytes(photo)
        if index < 4:
            (folders["test"] / f"{sign}_test.jpg").write_bytes(photo)
    return folders["train"]
