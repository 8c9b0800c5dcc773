"""Waveforms, their spans and their axis."""

import numpy as np
import pytest

from runtime.draw import Span, draw_wave, envelope_of
from runtime.draw.canvas import palette
from runtime.draw.waves import COLUMNS


def test_an_outline_has_the_extremes_of_each_column_for_any_blocks() -> None:
    samples = np.random.default_rng(0).normal(0, 0.2, 7 * COLUMNS).astype(np.float32)
    columns = samples.reshape(COLUMNS, 7)
    wave = envelope_of([samples[:500], samples[500:]], samples=samples.size, sampling_rate=700)
    assert np.array_equal(wave.lowest, columns.min(axis=1).clip(max=0))
    assert np.array_equal(wave.highest, columns.max(axis=1).clip(min=0))
    assert wave.seconds == 12.0


def test_a_waveform_has_the_colours_of_its_spans() -> None:
    wave = envelope_of([np.ones(8000, np.float32)], samples=8000, sampling_rate=1000)
    spans = [Span(0, 5, "", 0), Span(4, 8, "", 1)]  # the second cuts the first at 4 s
    picture = draw_wave(wave, spans)
    middle = (picture.shape[1] - COLUMNS) // 2
    row = picture[100, middle : middle + COLUMNS]
    assert (row[: COLUMNS // 2] == palette(0)).all()
    assert (row[COLUMNS // 2 :] == palette(1)).all()


def test_a_label_without_space_before_the_next_span_is_omitted() -> None:
    wave = envelope_of([np.ones(8000, np.float32)], samples=8000, sampling_rate=1000)
    picture = draw_wave(wave, [Span(0, 5, "surprise 0.98", 0), Span(0.1, 8, "", 1)])
    ribbon = picture[270:300, 24 : 24 + 14]  # a tenth of a second; the column after it is a gap
    assert (ribbon == palette(0)).all()


@pytest.mark.parametrize("seconds", [0.1, 0.9, 59.0, 61.0, 3600.0, 20_000.0])
def test_waveforms_of_any_length_have_an_axis(seconds: float) -> None:
    count = round(seconds * 10)
    wave = envelope_of([np.zeros(count, np.float32)], samples=count, sampling_rate=10)
    spans = [Span(i * seconds / 300, (i + 1) * seconds / 300, "neutral", i) for i in range(300)]
    picture = draw_wave(wave, spans, caption="neutral")
    assert picture.shape[1] == COLUMNS + 48
