"""`handloom convert`: a public data set, as its makers ship it, into the one record (DESIGN sections 7 and 8).

A run like any other: sharded, resumable, the same bytes for any number of processes. A picture without a hand or with
a damaged file becomes a line of `rejected.jsonl`. `--check` draws samples instead and writes nothing else.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from pipelines.card import card_text
from pipelines.reader_check import Samples, figures, sample, sample_sheet
from pipelines.reading import Reading, read_picture, reading
from pipelines.run_folder import Rejection, RunFolder, RunPlan
from pipelines.shards import png_bytes
from recon.data.reader import ManoBasis, Reader, reader_class
from recon.data.record import COLUMNS, FEATURES
from recon.data.world import World
from recon.files import FileError, open_npz, write_atomic
from recon.hand.model import HandModel

log = logging.getLogger(__name__)

SHOWN, CHECKED = 36, 16
DAMAGED, NO_HAND = "damaged", "no hand"
"""Kinds of lines in `rejected.jsonl`."""


class DamagedPicturesError(RuntimeError):
    """A conversion that is complete but for pictures that could not be read; the message is one sentence."""

    exit_code = 1


def convert(
    name: str,
    root: Path,
    *,
    out: Path | None = None,
    split: str | None = None,
    num_workers: int = 2,
    shard_size: int = 1000,
    limit: int | None = None,
    mano: Path | None = None,
    check: bool = False,
    sheet: Path | None = None,
) -> int | None:
    """Turn a public data set into the one record, or look at what its reader makes of it.

    Given again, the same command verifies what is there and makes only what is missing, with pictures that were damaged
    and no longer are.

    Args:
        name: of the data set; an unknown one is answered with the list.
        root: the data set's folder, as its makers lay it out.
        out: the folder to write; not needed with --check.
        split: of the data set; its first one when absent.
        num_workers: processes that read; any number gives the same bytes.
        shard_size: pictures per shard.
        limit: only so many pictures, from the first on.
        mano: MANO's right hand from `handloom assets import-mano`, for sets whose poses need its mean and components.
        check: write no data; draw samples with their labels and print figures.
        sheet: where --check writes its picture; NAME_check.png when absent.
    """
    for flag, value in (("--num-workers", num_workers), ("--limit", limit)):
        if value is not None and value < 1:
            raise ValueError(f"{flag} is {value}; at least 1 is needed.")
    if out is None and not check:
        raise ValueError("--out is missing; give the folder to write, or --check to look at samples.")
    kind = reader_class(name)
    basis = None if mano is None else mano_basis(mano)
    reader = kind(root, kind.splits[0] if split is None else split, basis)
    if not len(reader):
        raise FileError(f"{root} holds no picture of {name} in split {reader.split!r}.")
    _warn(reader, limit)
    model = hand_of(reader, mano)
    if check or out is None:
        _check(reader, model, limit, sheet or Path(f"{name}_check.png"))
    else:
        _convert(reader, model, out, num_workers, shard_size, limit)
    return None


def mano_basis(path: Path) -> ManoBasis:
    """Pose mean and components of MANO's right hand.

    Raises:
        FileError: not the npz of `handloom assets import-mano`.
    """
    arrays = open_npz(path, ("hands_mean", "hands_components"))
    for key, shape in (("hands_mean", (45,)), ("hands_components", (45, 45))):
        if arrays[key].shape != shape:
            raise FileError(f"{path}: {key} has shape {arrays[key].shape}, but must have {shape}.")
    return ManoBasis(arrays["hands_mean"].astype(float), arrays["hands_components"].astype(float))


def hand_of(reader: Reader, mano: Path | None) -> HandModel | None:
    """The hand that a set's parameters belong to: the default one for the rendered world, else the user's MANO."""
    if isinstance(reader, World):
        return HandModel.default()
    return None if mano is None else HandModel.from_mano(mano)


def _warn(reader: Reader, limit: int | None) -> None:
    if limit is None and reader.expected is not None and reader.expected != len(reader):
        log.warning(
            "%s: split %s should have %s pictures, but %s holds %s.",
            reader.name, reader.split, f"{reader.expected:,}", reader.root, f"{len(reader):,}",
        )  # fmt: skip
    if reader.needs_mano and reader.mano is None:
        log.warning("%s writes its poses by MANO's mean: without --mano they are null.", reader.name)


def _convert(
    reader: Reader, model: HandModel | None, out: Path, num_workers: int, shard_size: int, limit: int | None
) -> None:
    total = min(len(reader), limit or len(reader))
    basis = b"" if reader.mano is None else reader.mano.mean.tobytes() + reader.mano.components.tobytes()
    config = {
        "kind": "convert",
        "dataset": reader.name,
        "root": str(reader.root.resolve()),
        "split": reader.split,
        "limit": limit,
        "mano": hashlib.sha256(basis).hexdigest() if basis else None,
    }
    plan = RunPlan(config, total, shard_size, "parquet", FEATURES, re.sub(r"\W", "_", reader.split))
    run = RunFolder(out, plan, {"handloom": version("handloom"), "numpy": version("numpy")})
    _withdraw_mended(run, reader)
    with reading(reader, num_workers) as pictures, tqdm(total=total, unit="picture", disable=None) as bar:
        for shard in run.claim():
            run.write(shard, _samples(pictures(range(shard.start, shard.stop)), bar))
    with run.finishing() as todo:
        if todo:
            _finish(run, reader, model)
    _report(run, reader)


def _withdraw_mended(run: RunFolder, reader: Reader) -> None:
    """Give free the shards in which a picture was damaged that can now be read."""
    for line in run.rejected():
        if line["kind"] == DAMAGED and read_picture(reader, line["index"]).frame is not None:
            log.info("%s can now be read; its shard is made again.", line["file"])
            run.withdraw(line["index"])


def _samples(readings: Iterable[Reading], bar: tqdm) -> Iterator[dict[str, Any] | Rejection]:
    """The rows of each picture, or why it has none."""
    for one in readings:
        bar.update()
        if one.frame is None:
            yield Rejection(one.index, one.damage, {"file": one.file, "kind": DAMAGED})
        elif not one.frame.hands:
            yield Rejection(one.index, one.frame.empty, {"file": one.file, "kind": NO_HAND})
        else:
            yield from (hand.row() for hand in one.frame.hands)


def _finish(run: RunFolder, reader: Reader, model: HandModel | None) -> None:
    """The contact sheet and the card."""
    title = f"{reader.name}, {reader.split}"
    hands = sample(reader, SHOWN, run.plan.num_samples).hands[:SHOWN]
    if hands:
        write_atomic(run.path / "contact_sheet.png", png_bytes(sample_sheet(hands, model, title, tile=192)))
    summary = (
        f"The split {reader.split} of {reader.name}, converted by `handloom convert`: a row per labelled hand, "
        "with the photos as they were shipped. Metres, pixels and radians; OpenCV camera axes; what the set does not "
        "label is null."
    )
    sections = {
        "Licence": f"The photos and labels are those of the data set's makers: {reader.licence}.",
        "Settings": "\n".join(f"- {key}: {value}" for key, value in run.plan.resolved().items() if key != "root"),
    }
    card = card_text(run, title, summary, COLUMNS, sections, tags=("hands", "mano", "handloom"))
    write_atomic(run.path / "README.md", card.encode())


def _report(run: RunFolder, reader: Reader) -> None:
    """One line at the end; pictures that could not be read are an error, every time."""
    kinds = Counter(line["kind"] for line in run.rejected())
    log.info(
        "%s holds %s hands of %s pictures; %s pictures have no hand, %s are damaged.",
        run.path, *(f"{n:,}" for n in (run.manifest()["rows"], run.plan.num_samples, kinds[NO_HAND], kinds[DAMAGED])),
    )  # fmt: skip
    if kinds[DAMAGED]:
        first = next(line for line in run.rejected() if line["kind"] == DAMAGED)
        raise DamagedPicturesError(
            f"{kinds[DAMAGED]:,} of {run.plan.num_samples:,} pictures of {reader.name} are damaged and left out "
            f"({run.path / 'rejected.jsonl'} names them, first {first['file']}); mend them and give the same "
            "command again to take them in."
        )


def _check(reader: Reader, model: HandModel | None, limit: int | None, sheet: Path) -> None:
    """Samples on a sheet and their figures in a table."""
    samples: Samples = sample(reader, CHECKED, min(len(reader), limit or len(reader)))
    title = f"{reader.name}, {reader.split}"
    table = Table("figure", "value", title=title)
    for figure, value in figures(reader, samples).items():
        table.add_row(figure, value)
    if samples.hands:
        write_atomic(sheet, png_bytes(sample_sheet(samples.hands, model, title)))
    Console().print(table)
    log.info("%s", f"Look at {sheet}." if samples.hands else "No hand was found, so there is no sheet.")
    if samples.damage:
        counted = f"{len(samples.damage)} of {samples.pictures} pictures are damaged"
        raise DamagedPicturesError(f"{counted}: {samples.damage[0]}")
