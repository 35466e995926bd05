"""What a person opens after a run: `contact_sheet.png` and `report.html`, one file without links to elsewhere."""

import base64
import html
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pipelines.shards import png_bytes
from recon.files import open_image
from synth.render.sheet import contact_sheet

THUMBNAIL = 192  # pixels
LEAST = 256  # pixels of a picture on the sheet
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 78rem; padding: 0 1rem; color: #18181c }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); gap: 1.2rem }
figure { margin: 0 } figure img { width: 49%; background: #000; border-radius: 4px }
figcaption { font-size: .85rem; overflow-wrap: anywhere } figcaption span { color: #6e6e76 }
table { border-collapse: collapse; margin: .5rem 0 1.5rem } td, th { text-align: left; padding: .2rem 1rem .2rem 0;
border-bottom: 1px solid #ddd; vertical-align: top; overflow-wrap: anywhere } code { font-size: .85rem }
@media (prefers-color-scheme: dark) { body { background: #18181c; color: #eee } td, th { border-color: #444 } }
"""


@dataclass(frozen=True)
class ShownSample:
    """A sample as the report shows it.

    Attributes:
        image: the picture.
        control: what guided it.
        prompt: the text it was asked with.
        caption: the exact description.
        note: one line of figures.
    """

    image: UInt8[np.ndarray, "h w 3"]
    control: UInt8[np.ndarray, "h w 3"]
    prompt: str
    caption: str
    note: str


def decode(data: bytes, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """A picture of a row as an array."""
    return np.array(open_image(data, name=name))


def sheet_png(samples: Sequence[ShownSample], title: str) -> bytes:
    """Control and image side by side under each prompt, as a PNG.

    Args:
        samples: at least one, all of one size.
        title: the line on top.
    """
    pairs = [np.concatenate([sample.control, sample.image], axis=1) for sample in samples]
    enlarge = max(1, LEAST // max(pair.shape[0] for pair in pairs))
    pairs = [pair.repeat(enlarge, axis=0).repeat(enlarge, axis=1) for pair in pairs]
    captions = [sample.prompt for sample in samples]
    return png_bytes(contact_sheet(pairs, captions, columns=4 if len(pairs) > 4 else 2, title=title))


def report_html(
    title: str,
    samples: Sequence[ShownSample],
    tables: Mapping[str, Mapping[str, Any]],
    rejected: Sequence[Mapping[str, Any]],
) -> str:
    """The report as one HTML document.

    Args:
        title: heading.
        samples: those to show.
        tables: heading -> name -> value, in order.
        rejected: the run's rejected samples.
    """
    parts = [f"<h1>{html.escape(title)}</h1>"]
    parts += [f"<h2>{html.escape(name)}</h2>{_table(rows)}" for name, rows in tables.items()]
    parts.append(f"<h2>Samples</h2><div class='samples'>{''.join(map(_figure, samples))}</div>")
    if rejected:
        reasons = Counter(entry["reason"] for entry in rejected)
        parts.append(f"<h2>Rejected</h2>{_table(dict(reasons.most_common(20)))}")
    head = f"<meta charset='utf-8'><title>{html.escape(title)}</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def _table(rows: Mapping[str, Any]) -> str:
    cells = (f"<tr><th>{html.escape(str(k))}</th><td>{html.escape(_number(v))}</td></tr>" for k, v in rows.items())
    return f"<table>{''.join(cells)}</table>"


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "none" if value is None else str(value)


def _figure(sample: ShownSample) -> str:
    pictures = "".join(
        f"<img alt='{name}' src='{_data_uri(image)}'> "
        for name, image in (("control", sample.control), ("image", sample.image))
    )
    prompt = sample.prompt if len(sample.prompt) <= 300 else sample.prompt[:300] + "…"
    caption = (
        f"<b>{html.escape(prompt)}</b><br>{html.escape(sample.caption)}<br><span>{html.escape(sample.note)}</span>"
    )
    return f"<figure>{pictures}<figcaption>{caption}</figcaption></figure>"


def _data_uri(image: np.ndarray) -> str:
    buffer = io.BytesIO()
    picture = Image.fromarray(image)
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    picture.save(buffer, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
