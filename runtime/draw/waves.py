"""Draw the waveform of a sound, coloured by the class of each part."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.arrays import Image
from runtime.draw.canvas import FAINT, INK, PAPER, add_caption, palette, text_colour
from runtime.draw.text import LINE, Colour, fit, put_text, text_width

COLUMNS = 1200  # width of a waveform, px
_MARGIN, _WAVE_PX, _RIBBON_PX, _AXIS_PX, _SIZE = 24, 240, 44, 26, 16
_SILENT: Colour = (198, 200, 204)


@dataclass(frozen=True, slots=True)
class Wave:
    """The outline of a sound: one value pair per column of the drawing."""

    lowest: NDArray[np.float32]  # (COLUMNS,) smallest sample of each column
    highest: NDArray[np.float32]  # (COLUMNS,) largest sample of each column
    seconds: float


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a sound and its class."""

    start_s: float
    end_s: float
    label: str
    kind: int | None  # index of the class, which sets the colour; None: no class


def envelope_of(blocks: Iterable[NDArray[np.float32]], *, samples: int, sampling_rate: int) -> Wave:
    """Compute the outline of a waveform in one pass over its blocks.

    Args:
        blocks: the waveform in blocks, (n,) float32 each.
        samples: number of samples in all blocks; further samples are ignored.
        sampling_rate: Hz.
    """
    lowest, highest = np.zeros(COLUMNS, np.float32), np.zeros(COLUMNS, np.float32)
    start = 0
    for block in blocks:
        part = block[: samples - start]
        columns = (np.arange(start, start + part.size) * COLUMNS) // samples
        np.minimum.at(lowest, columns, part)
        np.maximum.at(highest, columns, part)
        start += part.size
    return Wave(lowest, highest, samples / sampling_rate)


def draw_wave(wave: Wave, spans: Sequence[Span], *, caption: str = "") -> Image:
    """Draw the waveform over time, a ribbon with the labels below it, and an axis in seconds.

    Args:
        wave: the outline of the sound.
        spans: in order of time; a span that overlaps the next one ends where that begins.
        caption: text below the picture; "" for none.
    """
    height = _MARGIN + _WAVE_PX + _RIBBON_PX + _AXIS_PX
    canvas = np.full((height, COLUMNS + 2 * _MARGIN, 3), PAPER, np.uint8)
    spans = _without_overlaps(spans)
    colours = _colours(wave, spans)
    _draw_samples(canvas, wave, colours)
    for span in spans:
        _draw_ribbon(canvas, wave, span)
    _draw_axis(canvas, wave.seconds)
    return add_caption(canvas, caption)


def _without_overlaps(spans: Sequence[Span]) -> list[Span]:
    ends = [min(a.end_s, b.start_s) for a, b in pairwise(spans)]
    ends += [span.end_s for span in spans[-1:]]
    return [Span(s.start_s, end, s.label, s.kind) for s, end in zip(spans, ends, strict=True)]


def _columns(wave: Wave, span: Span) -> tuple[int, int]:
    first, last = (round(COLUMNS * time / wave.seconds) for time in (span.start_s, span.end_s))
    return int(np.clip(first, 0, COLUMNS)), int(np.clip(last, 0, COLUMNS))


def _colour(span: Span) -> Colour:
    return _SILENT if span.kind is None else palette(span.kind)


def _colours(wave: Wave, spans: Sequence[Span]) -> NDArray[np.uint8]:
    colours = np.full((COLUMNS, 3), FAINT, np.uint8)
    for span in spans:
        first, last = _columns(wave, span)
        colours[first:last] = _colour(span)
    return colours


def _draw_samples(canvas: Image, wave: Wave, colours: NDArray[np.uint8]) -> None:
    # a quiet voice is scaled up to the full height; the limit keeps silence flat
    loudest = max(float(wave.highest.max()), -float(wave.lowest.min()), 1e-3)
    middle, half = _MARGIN + _WAVE_PX // 2, _WAVE_PX // 2 - 4
    canvas[middle, _MARGIN : _MARGIN + COLUMNS] = FAINT
    tops = middle - (wave.highest / loudest * half).round().astype(int)
    bottoms = middle - (wave.lowest / loudest * half).round().astype(int)
    for column, (top, bottom) in enumerate(zip(tops.tolist(), bottoms.tolist(), strict=True)):
        canvas[top : bottom + 1, _MARGIN + column] = colours[column]


def _draw_ribbon(canvas: Image, wave: Wave, span: Span) -> None:
    first, last = _columns(wave, span)
    if last <= first:
        return
    top = _MARGIN + _WAVE_PX + 4
    bottom, left, right = top + _RIBBON_PX - 8, _MARGIN + first, _MARGIN + last
    canvas[top:bottom, left:right] = _colour(span)
    canvas[top:bottom, right - 1] = PAPER  # a gap to the next span
    text, size = fit(span.label, _SIZE, right - left - 8)
    if len(text) >= min(3, len(span.label)):  # one or two letters of a label are unreadable
        middle = top + (bottom - top - round(LINE * size)) // 2
        put_text(
            canvas, text, left=left + 4, top=middle, size=size, colour=text_colour(_colour(span))
        )


def _draw_axis(canvas: Image, seconds: float) -> None:
    top = _MARGIN + _WAVE_PX + _RIBBON_PX
    step = _step(seconds)
    for number in range(int(seconds / step + 1e-9) + 1):
        x = _MARGIN + min(COLUMNS - 1, round(COLUMNS * number * step / seconds))
        cv2.line(canvas, (x, top), (x, top + 4), INK, 1)
        text = _format_time(number * step, step)
        left = min(max(0, x - text_width(text, 14) // 2), canvas.shape[1] - text_width(text, 14))
        put_text(canvas, text, left=left, top=top + 5, size=14, colour=INK)


def _step(seconds: float) -> float:
    """Return the seconds between two marks of the axis, for at most a dozen marks."""
    steps = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800)
    return next((step for step in steps if seconds / step <= 12), 3600.0)


def _format_time(seconds: float, step: float) -> str:
    if step < 1:
        return f"{seconds:.2f} s" if step < 0.1 else f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02d}"
