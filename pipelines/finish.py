"""The end of a generation run: scores, report, contact sheet and card, from the finished shards (DESIGN 8, 9)."""

import itertools
import json
import logging
from dataclasses import dataclass
from typing import Any

from pipelines.card import card_text
from pipelines.hand_pictures import find_pictures, read_pictures
from pipelines.hand_row import COLUMNS
from pipelines.report import ShownSample, decode, report_html, sheet_png
from pipelines.run_folder import RunFolder
from pipelines.score import score_images
from recon.files import FileError, open_json, write_atomic, write_json_atomic

log = logging.getLogger(__name__)

TITLE = "Hand images from text"
SHOWN = 32  # samples in the report and on the contact sheet
SUMMARY = (
    "Hand images painted by a diffusion model under the guidance of 3D hand meshes, which were sampled from text. "
    "Every label follows from the mesh and the camera; a hand detector looked at every picture."
)


@dataclass(frozen=True)
class Tally:
    """Detection over everything that was painted, kept or not.

    Attributes:
        samples: asked for.
        kept: rows.
        kept_at_first: samples whose first picture was kept.
        painted: pictures, retries included.
        found: rows in which the detector finds a hand.
        mean_score: mean detection score over those; None when there are none.
        mean_agreement: mean share of agreeing keypoints over those.
    """

    samples: int
    kept: int
    kept_at_first: int
    painted: int
    found: int
    mean_score: float | None
    mean_agreement: float | None


def tally(run: RunFolder) -> Tally:
    """Count a finished run's detections, a shard in memory at a time."""
    kept = first = painted = found = 0
    score = agreement = 0.0
    for row in run.rows(["attempts", "detection"]):
        kept, first, painted = kept + 1, first + (row["attempts"] == 1), painted + row["attempts"]
        if row["detection"]["found"]:
            found += 1
            score += row["detection"]["score"]
            agreement += row["detection"]["agreement"]
    painted += sum(entry["attempts"] for entry in run.rejected())
    means = (score / found, agreement / found) if found else (None, None)
    return Tally(run.plan.num_samples, kept, first, painted, found, *means)


def finish(run: RunFolder) -> None:
    """Write `scores.json`, `contact_sheet.png`, `report.html` and, last, the card.

    Args:
        run: all shards published.
    """
    counted = tally(run)
    scores = _scores(run, counted)
    write_json_atomic(run.path / "scores.json", scores)
    shown = _shown(run)
    if shown:
        write_atomic(run.path / "contact_sheet.png", sheet_png(shown, f"{TITLE}: control and image"))
    tables = {"Scores": _figures(scores), "Settings": _flat(run.plan.resolved())}
    write_atomic(run.path / "report.html", report_html(TITLE, shown, tables, run.rejected()).encode())
    sections = {
        "Scores": "\n".join(f"- {name}: {value}" for name, value in _figures(scores).items()),
        "How it was made": "`handloom generate`; all settings, versions and fingerprints are in `run.yaml`, checksums "
        "of the files in `manifest.json`, the figures in `scores.json`, pictures in `report.html`.",
    }
    write_atomic(run.path / "README.md", card_text(run, TITLE, SUMMARY, COLUMNS, sections).encode())


def _scores(run: RunFolder, counted: Tally) -> dict[str, Any]:
    """Everything of `scores.json`."""
    painting = {
        "samples": counted.samples,
        "kept": counted.kept,
        "kept_at_first_attempt": counted.kept_at_first,
        "pictures_painted": counted.painted,
        "rate_kept_of_painted": counted.kept / counted.painted if counted.painted else None,
    }
    detection = {"rate_found": counted.found / counted.kept if counted.kept else None, "mean_score": counted.mean_score,
                 "mean_agreement": counted.mean_agreement, **run.plan.resolved()["detector"]}  # fmt: skip
    scores: dict[str, Any] = {"painting": painting, "detection_of_kept": detection, "generation": None}
    if counted.kept:
        try:
            found = score_images(read_pictures(find_pictures(run.path)), "this data set")
        except FileError as error:
            log.warning("FID-H and KID-H are left out: %s", error)
            scores["note"] = "FID-H and KID-H are left out, for want of the reference or the feature extractor."
        else:
            scores["generation"] = found.as_dict()
    return scores


def _shown(run: RunFolder) -> list[ShownSample]:
    """The first samples, for people."""
    columns = ["sample_id", "image", "control", "prompt", "caption", "detection", "attempts"]
    shown = []
    for row in itertools.islice(run.rows(columns), SHOWN):
        detection = row["detection"]
        seen = "no hand found"
        if detection["found"]:
            seen = f"detection {detection['score']:.2f}, agreement {detection['agreement']:.2f}"
        exact = row["caption"].removeprefix(f"{row['prompt']}: ")
        note = f"{row['sample_id']}: {seen}, attempt {row['attempts']}"
        image, control = (decode(row[name], f"{name} of {row['sample_id']}") for name in ("image", "control"))
        shown.append(ShownSample(image, control, row["prompt"], exact, note))
    return shown


def _figures(scores: dict[str, Any]) -> dict[str, str]:
    """The figures that people read first, by name."""
    painting, detection, generation = scores["painting"], scores["detection_of_kept"], scores["generation"]
    figures = {
        "images kept": f"{painting['kept']} of {painting['samples']} samples, {painting['pictures_painted']} painted",
        "kept at the first attempt": f"{painting['kept_at_first_attempt']} of {painting['samples']}",
    }
    if detection["mean_score"] is not None:
        figures["mean detection score over found"] = f"{detection['mean_score']:.3f}"
        figures["keypoints that agree with the labels"] = f"{detection['mean_agreement']:.1%} within 0.1 of the box"
    if generation:
        for key, name in (("kid_h", "KID-H"), ("fid_h", "FID-H")):
            figure = generation[key]
            if figure:
                figures[f"{name} ({figure['extractor']}, n = {figure['n']})"] = f"{figure['value']:.5g}"
        figures |= {f"note {number}": note for number, note in enumerate(generation["notes"], 1)}
    return figures


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value if isinstance(value, str) else json.dumps(value)
    return flat


def closing_words(run: RunFolder) -> str:
    """What a run says at its end: the folder, the picture to open, the scores."""
    manifest = run.manifest()
    if not manifest["complete"]:
        return f"{run.path} is not complete; give the same command again to go on."
    figures = _figures(open_json(run.path / "scores.json"))
    lines = [f"{manifest['rows']} images are in {run.path}"]
    if manifest["rejected"]:
        lines[0] += f"; {manifest['rejected']} sample(s) were given up, see {run.path / 'rejected.jsonl'}"
    if manifest["rows"]:
        lines.append(f"Open {run.path / 'contact_sheet.png'} or {run.path / 'report.html'}")
    else:
        lines.append("No picture passed the detector: a lower --min-confidence or more --max-attempts keeps more.")
    return "\n".join([*lines, *(f"  {name}: {value}" for name, value in figures.items())])
