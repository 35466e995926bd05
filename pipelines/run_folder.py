"""A data-set run on disk: shards, manifest, resume, rejected samples (DESIGN section 8).

A shard is written under a temporary name, fsynced and renamed, then its manifest entry is published; so what the
manifest names is whole. Several processes may work on one folder: each claims shards by locking a byte of `.lock`,
and a dead process's claims fall free by themselves.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from datasets import Features

from pipelines.choices import Format
from pipelines.shards import (
    SUFFIXES,
    Row,
    encode_shard,
    fault_of_shard,
    payload_digest,
    payload_size,
    plain_row,
    read_shard,
    store_shard,
)
from recon.files import FileError, open_json, write_atomic, write_json_atomic

log = logging.getLogger(__name__)

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MANIFEST_BYTE, FINISH_BYTE, SHARD_BYTE = 0, 1, 2  # what is locked in `.lock`; shard i locks SHARD_BYTE + i


class RunError(ValueError):
    """A folder or setting that a run cannot use; the message is one sentence for the user."""


class IncompleteRunError(RuntimeError):
    """A run that stopped before its end; the message is one sentence that says how to go on."""

    exit_code = 1


@dataclass(frozen=True)
class Shard:
    """A unit of work: the samples start..stop-1 of a run, written to one file."""

    index: int
    start: int
    stop: int
    file: str
    """Path inside the run folder, with forward slashes."""


@dataclass(frozen=True)
class Rejection:
    """A sample that failed: it goes to `rejected.jsonl` instead of the data."""

    index: int
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunPlan:
    """What decides a run's bytes.

    Attributes:
        config: every setting, in JSON's types; a run goes on only with the same.
        num_samples: how many samples are tried.
        shard_size: samples per shard.
        format: how shards are written.
        features: the columns; one is `sample_id`.
        split: name of the split, the first word of shard files.
    """

    config: Mapping[str, Any]
    num_samples: int
    shard_size: int
    format: Format
    features: Features
    split: str = "train"

    def shards(self) -> list[Shard]:
        """The run cut by sample index."""
        count = math.ceil(self.num_samples / self.shard_size)
        names = [f"data/{self.split}-{i:05d}-of-{count:05d}{SUFFIXES[self.format]}" for i in range(count)]
        return [
            Shard(i, i * self.shard_size, min((i + 1) * self.shard_size, self.num_samples), name)
            for i, name in enumerate(names)
        ]

    def resolved(self) -> dict[str, Any]:
        """The settings as they are written to `run.yaml` and compared on resume."""
        own = {"num_samples": self.num_samples, "shard_size": self.shard_size, "format": self.format}
        return json.loads(json.dumps({**self.config, **own}, sort_keys=True))

    def config_hash(self) -> str:
        """The fingerprint of the settings that every manifest entry carries."""
        return hashlib.sha256(json.dumps(self.resolved(), sort_keys=True).encode()).hexdigest()[:16]


class RunFolder:
    """The folder of one run; open it with the plan, work on `claim()`, `write` each shard, then `finish()`."""

    def __init__(self, path: str | Path, plan: RunPlan, provenance: Mapping[str, Any] | None = None) -> None:
        """Start a run in an empty or new folder, or go on with the run that is there.

        Args:
            path: the folder.
            plan: what to make; must be that of the run that is there.
            provenance: versions and fingerprints for `run.yaml`; a difference is logged, not refused.

        Raises:
            RunError: nothing to make, a folder with other files, or a run with other settings.
        """
        for name in ("num_samples", "shard_size"):
            if getattr(plan, name) < 1:
                raise RunError(f"{name.replace('_', ' ')} is {getattr(plan, name)}; at least 1 is needed.")
        self.path, self.plan, self.shards = Path(path), plan, plan.shards()
        self.refuse_foreign(self.path)
        try:
            (self.path / "data").mkdir(parents=True, exist_ok=True)
            self._lock_file = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise RunError(f"{self.path} cannot be written: {error.strerror}.") from error
        with self._locked(MANIFEST_BYTE):
            with self._locked(FINISH_BYTE, wait=False) as quiet:
                for leftover in self.path.glob(".*.tmp") if quiet else ():
                    leftover.unlink()
            if (self.path / "run.yaml").exists():
                self._refuse_other_settings(provenance or {})
            else:
                record = {"config": plan.resolved(), "config_hash": plan.config_hash(), **(provenance or {})}
                text = yaml.safe_dump(json.loads(json.dumps(record)), sort_keys=False, allow_unicode=True, width=120)
                write_atomic(self.path / "run.yaml", text.encode())

    @staticmethod
    def refuse_foreign(path: Path) -> None:
        """Make sure, before anything long is begun, that a path is new, an empty folder or a run.

        Raises:
            RunError: it is something else.
        """
        if path.exists() and not path.is_dir():
            raise RunError(f"{path} is a file; give the name of a new folder.")
        if path.is_dir() and not (path / "run.yaml").exists():
            others = [p.name for p in path.iterdir() if not p.name.startswith(".") and p.name != "data"]
            others += [f"data/{p.name}" for p in (path / "data").glob("[!.]*")]
            if others:
                raise RunError(
                    f"{path} holds files that are no run of handloom ({sorted(others)[0]}, ...); "
                    "give the name of a new folder."
                )

    def _refuse_other_settings(self, provenance: Mapping[str, Any]) -> None:
        name = self.path / "run.yaml"
        try:
            old = yaml.safe_load(name.read_text("utf-8"))
            was = dict(old["config"])
        except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError) as error:
            raise RunError(f"{name} is damaged, so its run cannot go on; give the name of a new folder.") from error
        now = self.plan.resolved()
        changed = [key for key in sorted({*was, *now}) if was.get(key) != now.get(key)]
        if changed:
            shown = "; ".join(f"{key} was {was.get(key)!r}, now {now.get(key)!r}" for key in changed[:4])
            more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
            raise RunError(
                f"{self.path} holds a run with other settings ({shown}{more}); give the same settings to go on "
                "or another folder to start anew."
            )
        for key, value in json.loads(json.dumps(provenance)).items():
            if old.get(key) != value:
                log.warning("%s: %s was %s when the run began, now %s.", self.path, key, old.get(key), value)

    @contextlib.contextmanager
    def _locked(self, byte: int, wait: bool = True) -> Iterator[bool]:
        """Hold one byte of `.lock` against other processes; False when another has it and we do not wait."""
        try:
            fcntl.lockf(self._lock_file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, byte)
        except OSError as error:
            if wait or error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            yield False
            return
        try:
            yield True
        finally:
            fcntl.lockf(self._lock_file, fcntl.LOCK_UN, 1, byte)

    def manifest(self) -> dict[str, Any]:
        """What is published so far: `complete` and an entry per shard, by start index."""
        path = self.path / "manifest.json"
        return open_json(path) if path.exists() else {"complete": False, "shards": []}

    def _entries(self) -> dict[int, dict[str, Any]]:
        return {entry["start"]: entry for entry in self.manifest()["shards"]}

    def is_whole(self, shard: Shard) -> bool:
        """Whether the shard is published and its file is what was published; logs what is wrong with it."""
        entry = self._entries().get(shard.start)
        if entry is None:
            return False
        fault = fault_of_shard(self.path, entry)
        if fault:
            log.warning("%s %s and is made again.", self.path / shard.file, fault)
        return not fault

    def claim(self, first: int = 0) -> Iterator[Shard]:
        """The shards left to make, each held against other processes until the next is asked for.

        Those that another process holds come last, when it has died over them.

        Args:
            first: where to begin, modulo the number of shards, so that ranks seldom meet.
        """
        order = self.shards[first % len(self.shards) :] + self.shards[: first % len(self.shards)]
        held: list[Shard] = []
        for wait, shards in ((False, order), (True, held)):
            for shard in shards:
                with self._locked(SHARD_BYTE + shard.index, wait) as mine:
                    if not mine:
                        held.append(shard)
                    elif not self.is_whole(shard):
                        self._clear(shard)
                        yield shard

    def withdraw(self, index: int) -> None:
        """Take back the shard of a sample, so that `claim` gives it again; nothing where another process holds it."""
        shard = next(shard for shard in self.shards if shard.start <= index < shard.stop)
        with self._locked(SHARD_BYTE + shard.index, wait=False) as mine:
            if mine:
                self._clear(shard)

    def _clear(self, shard: Shard) -> None:
        """Withdraw a shard's entry and remove what is left of it under its own or a temporary name."""
        with self._locked(MANIFEST_BYTE):
            manifest = self.manifest()
            if manifest["complete"] or shard.start in self._entries():
                rest = [entry for entry in manifest["shards"] if entry["start"] != shard.start]
                self._publish(rest, complete=False)
        target = self.path / shard.file
        for path in [target, *target.parent.glob(f".{target.name}.*.tmp")]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def write(self, shard: Shard, samples: Iterable[Row | Rejection]) -> None:
        """Make a shard whole: its file, its rejected samples, its manifest entry.

        Args:
            shard: from `claim`.
            samples: a row of `features` or a rejection for each index, in order.

        Raises:
            IncompleteRunError: the disk is full or not writable; nothing of this shard is left.
        """
        rows, rejected = [], []
        for sample in samples:
            if isinstance(sample, Rejection):
                rejected.append(sample)
            else:
                rows.append(plain_row(sample, self.plan.features))
        entry: dict[str, Any] = {"file": None, "bytes": 0, "sha256": None, "rows": len(rows)}
        try:
            if rows:
                payload = encode_shard(rows, self.plan.features, self.plan.format)
                store_shard(self.path / shard.file, payload)
                entry.update(file=shard.file, bytes=payload_size(payload), sha256=payload_digest(payload))
            entry.update(rejected=len(rejected), start=shard.start, stop=shard.stop)
            entry["config_hash"] = self.plan.config_hash()
            with self._locked(MANIFEST_BYTE):
                self._publish_rejected(shard, rejected)
                self._publish([*self._entries().values(), entry], complete=False)
        except (FileError, OSError) as error:
            raise self._stopped(error) from error

    def _stopped(self, error: Exception) -> IncompleteRunError:
        cause = error if isinstance(error, OSError) else error.__cause__
        full = isinstance(cause, OSError) and cause.errno in FULL_DISK
        reason = f"The disk of {self.path} is full" if full else str(error).removesuffix(".")
        done = len(self._entries())
        return IncompleteRunError(
            f"{reason}: {done} of {len(self.shards)} shards are finished and kept; "
            f"{'free some space and ' if full else ''}give the same command again to go on."
        )

    def _publish(self, entries: Sequence[Mapping[str, Any]], complete: bool) -> None:
        ordered = sorted(entries, key=lambda entry: entry["start"])
        manifest = {
            "version": 1,
            "complete": complete,
            "config_hash": self.plan.config_hash(),
            "format": self.plan.format,
            "num_samples": self.plan.num_samples,
            "rows": sum(entry["rows"] for entry in ordered),
            "rejected": sum(entry["rejected"] for entry in ordered),
            "shards": ordered,
        }
        write_json_atomic(self.path / "manifest.json", manifest)

    def _publish_rejected(self, shard: Shard, rejected: Sequence[Rejection]) -> None:
        lines = [line for line in self.rejected() if not shard.start <= line["index"] < shard.stop]
        lines += [{"index": entry.index, "reason": entry.reason, **entry.details} for entry in rejected]
        lines.sort(key=lambda line: line["index"])
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        write_atomic(self.path / "rejected.jsonl", text.encode())

    def rejected(self) -> list[dict[str, Any]]:
        """The samples that failed so far: index, reason and details."""
        path = self.path / "rejected.jsonl"
        return [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]] if path.exists() else []

    def rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The finished rows in order of index, a shard in memory at a time; pictures as encoded bytes."""
        for _, entry in sorted(self._entries().items()):
            if entry["file"]:
                path = self.path / entry["file"]
                yield from read_shard(path, self.plan.features, self.plan.format, columns)

    @contextlib.contextmanager
    def finishing(self) -> Iterator[bool]:
        """Around the work that follows the last shard (card, report, scores): True in the one process that does it.

        The run is complete when the body ends without an exception, and only then.
        """
        with self._locked(FINISH_BYTE):
            published = self._entries()
            todo = not self.manifest()["complete"] and all(shard.start in published for shard in self.shards)
            try:
                yield todo
            except (FileError, OSError) as error:
                raise self._stopped(error) from error
            if todo:
                with self._locked(MANIFEST_BYTE):
                    self._publish(list(self._entries().values()), complete=True)
