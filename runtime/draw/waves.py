"""A sound as its waveform, coloured by what was said of each part of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.draw.canvas import FAINT, INK, PAPER, captioned, on, palette
from runtime.draw.text import LINE, Colour, Picture, fitted, put_text, text_width

COLUMNS = 1200  # px of a waveform
_MARGIN, _WAVE_PX, _RIBBON_PX, _AXIS_PX, _SIZE = 24, 240, 44, 26, 16
_SILENT: Colour = (198, 200, 204)


@dataclass(frozen=True, slots=True)
class Wave:
    """A sound, no longer than it is drawn."""

    lowest: NDArray[np.float32]  # (COLUMNS,) of the samples of each column
    highest: NDArray[np.float32]  # (COLUMNS,)
    seconds: float


@dataclass(frozen=True, slots=True)
class Span:
    """What was said of a part."""

    start_s: float
    end_s: float
    label: str
    kind: int | None  # of which class: its colour; None: nothing was said


def envelope_of(blocks: Iterable[NDArray[np.float32]], *, samples: int, sampling_rate: int) -> Wave:
    """The lowest and highest sample of each column of a picture, in one pass.

    Args:
        blocks: the waveform in pieces, (n,) float32 each.
        samples: of all pieces together; what comes beyond is left out.
        sampling_rate: Hz.
    """
    lowest, highest = np.zeros(COLUMNS, np.float32), np.zeros(COLUMNS, np.float32)
    done = 0
    for block in blocks:
        taken = block[: samples - done]
        columns = (np.arange(done, done + taken.size) * COLUMNS) // samples
        np.minimum.at(lowest, columns, taken)
        np.maximum.at(highest, columns, taken)
        done += taken.size
    return Wave(lowest, highest, samples / sampling_rate)


def draw_wave(wave: Wave, spans: Sequence[Span], *, caption: str = "") -> Picture:
    """The waveform over time, below it a ribbon with the labels, and the time in seconds.

    Args:
        wave: the sound.
        spans: in order of time; where they overlap each lasts until the next begins.
        caption: below; "" for none.
    """
    height = _MARGIN + _WAVE_PX + _RIBBON_PX + _AXIS_PX
    canvas = np.full((height, COLUMNS + 2 * _MARGIN, 3), PAPER, np.uint8)
    shown = _until_the_next(spans)
    colours = _colours(wave, shown)
    _draw_samples(canvas, wave, colours)
    for span in shown:
        _draw_ribbon(canvas, wave, span)
    _draw_axis(canvas, wave.seconds)
    return captioned(canvas, caption)


def _until_the_next(spans: Sequence[Span]) -> list[Span]:
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


def _draw_samples(canvas: Picture, wave: Wave, colours: NDArray[np.uint8]) -> None:
    # a quiet voice fills the picture too; of silence nothing is made
    loudest = max(float(wave.highest.max()), -float(wave.lowest.min()), 1e-3)
    middle, half = _MARGIN + _WAVE_PX // 2, _WAVE_PX // 2 - 4
    canvas[middle, _MARGIN : _MARGIN + COLUMNS] = FAINT
    tops = middle - (wave.highest / loudest * half).round().astype(int)
    bottoms = middle - (wave.lowest / loudest * half).round().astype(int)
    for column, (top, bottom) in enumerate(zip(tops.tolist(), bottoms.tolist(), strict=True)):
        canvas[top : bottom + 1, _MARGIN + column] = colours[column]


def _draw_ribbon(canvas: Picture, wave: Wave, span: Span) -> None:
    first, last = _columns(wave, span)
    if last <= first:
        return
    top = _MARGIN + _WAVE_PX + 4
    bottom, left, right = top + _RIBBON_PX - 8, _MARGIN + first, _MARGIN + last
    canvas[top:bottom, left:right] = _colour(span)
    canvas[top:bottom, right - 1] = PAPER  # where the next begins
    text, size = fitted(span.label, _SIZE, right - left - 8)
    if len(text) >= min(3, len(span.label)):  # a shorter rest says nothing
        middle = top + (bottom - top - round(LINE * size)) // 2
        put_text(canvas, text, left=left + 4, top=middle, size=size, colour=on(_colour(span)))


def _draw_axis(canvas: Picture, seconds: float) -> None:
    top = _MARGIN + _WAVE_PX + _RIBBON_PX
    step = _step(seconds)
    for number in range(int(seconds / step + 1e-9) + 1):
        x = _MARGIN + min(COLUMNS - 1, round(COLUMNS * number * step / seconds))
        cv2.line(canvas, (x, top), (x, top + 4), INK, 1)
        text = _clock(number * step, step)
        left = min(max(0, x - text_width(text, 14) // 2), canvas.shape[1] - text_width(text, 14))
        put_text(canvas, text, left=left, top=top + 5, size=14, colour=INK)


def _step(seconds: float) -> float:
    """Between two marks of the axis, so that there are at most a dozen."""
    steps = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800)
    return next((step for step in steps if seconds / step <= 12), 3600.0)


def _clock(seconds: float, step: float) -> str:
    if step < 1:
        return f"{seconds:.2f} s" if step < 0.1 else f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02d}"
