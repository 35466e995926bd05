"""Sheets of pictures with captions, and animations: what a person looks at to judge a run, a training or a hand."""

import bisect
import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

INK, GRAY, PAPER = (24, 24, 28), (110, 110, 118), (255, 255, 255)


def contact_sheet(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]] | UInt8[np.ndarray, "n h w 3"],
    captions: Sequence[str] | None = None,
    columns: int | None = None,
    title: str | None = None,
    *,
    tile: int | None = None,
    gap: int = 8,
    caption_lines: int = 3,
) -> UInt8[np.ndarray, "sheet_h sheet_w 3"]:
    """Pictures in rows on white paper.

    Args:
        images: RGB pictures, of one size or of several; each keeps its proportions.
        captions: one text per picture, wrapped and cut to `caption_lines`; empty texts are allowed.
        columns: pictures in a row; about a square sheet when absent.
        title: a line on top.
        tile: side in pixels of the square that a picture is fitted into; the largest side among them when absent.
        gap: pixels between pictures.
        caption_lines: at most so many lines under a picture.

    Raises:
        ValueError: without a picture, or with another number of captions than of pictures.
    """
    if len(images) == 0:
        raise ValueError("A contact sheet needs at least one picture, but the list is empty.")
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"A contact sheet got {len(captions)} captions for {len(images)} pictures.")
    width = tile or max(image.shape[1] for image in images)
    height = tile or max(image.shape[0] for image in images)
    columns = min(columns or math.ceil(math.sqrt(len(images))), len(images))
    font = _font(max(11, min(16, width // 12)))
    line_height = sum(font.getmetrics()) + 1
    texts = [_wrap(caption, font, width, caption_lines) for caption in captions or [""] * len(images)]
    rows = [range(start, min(start + columns, len(images))) for start in range(0, len(images), columns)]
    text_heights = [max(len(texts[index]) for index in row) * line_height for row in rows]

    sheet_width = gap + columns * (width + gap)
    title_font = _font(max(14, min(28, sheet_width // 32)))
    heading = _wrap(title, title_font, sheet_width - 2 * gap, 2) if title else []
    title_line = sum(title_font.getmetrics()) + 2
    top = gap + (len(heading) * title_line + gap if heading else 0)
    sheet = Image.new("RGB", (sheet_width, top + sum(height + gap + text for text in text_heights)), PAPER)
    pen = ImageDraw.Draw(sheet)
    for line, text in enumerate(heading):
        pen.text((gap, gap + line * title_line), text, INK, title_font)
    for row, text_height in zip(rows, text_heights, strict=True):
        for column, index in enumerate(row):
            left = gap + column * (width + gap)
            picture = _fitted(images[index], width, height)
            sheet.paste(picture, (left + (width - picture.width) // 2, top + (height - picture.height) // 2))
            for line, text in enumerate(texts[index]):
                pen.text((left, top + height + line * line_height), text, GRAY if line else INK, font)
        top += height + gap + text_height
    return np.asarray(sheet)


def _fitted(image: np.ndarray, width: int, height: int) -> Image.Image:
    """A picture scaled to the largest size of its proportions that fits; enlarged pixels stay visible as such."""
    scale = min(width / image.shape[1], height / image.shape[0])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return Image.fromarray(image).resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC)


def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib: prompts may be Greek or Cyrillic, which Pillow's own font lacks."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int, max_lines: int) -> list[str]:
    """A text cut into lines of at most `width` pixels; what does not fit ends in dots."""
    lines: list[str] = []
    line = ""
    words = text[:1000].split()
    for index, word in enumerate(words):
        longer = f"{line} {word}".strip()
        if font.getlength(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        if len(lines) == max_lines:
            return [*lines[:-1], _shortened(f"{lines[-1]} {' '.join(words[index:])}", font, width)]
        line = _shortened(word, font, width)
    return [*lines, line] if line else lines


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The text itself, or as much of its beginning as fits before dots."""
    if font.getlength(text) <= width:
        return text
    fits = bisect.bisect_right(
        range(1, len(text)), width, key=lambda end: math.ceil(font.getlength(f"{text[:end]}..."))
    )
    return text[:fits] + "..."


def write_animation(path: str | Path, frames: UInt8[np.ndarray, "n h w 3"], frames_per_second: float = 12.0) -> None:
    """Writes an endless GIF of RGB frames, such as a turntable."""
    pictures = [Image.fromarray(frame) for frame in frames]
    duration = round(1000 / frames_per_second)
    pictures[0].save(path, "GIF", save_all=True, append_images=pictures[1:], duration=duration, loop=0)
