"""Cutting waveforms into overlapping windows."""

import numpy as np
import pytest

from runtime.media.audio.windows import cut_windows


def spans(total: int, *, block: int, size: int, hop: int, shortest: int) -> list[tuple[int, int]]:
    """Cut a ramp, check the samples of each window, and return its start and end."""
    waveform = np.arange(total, dtype=np.float32)
    blocks = (waveform[at : at + block] for at in range(0, total, block))
    ends = []
    for window in cut_windows(blocks, size=size, hop=hop, shortest=shortest):
        end = window.start + window.samples.size
        np.testing.assert_array_equal(window.samples, waveform[window.start : end])
        ends.append((window.start, end))
    return ends


@pytest.mark.parametrize("block", [1, 7, 1000])
@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (1, [(0, 1)]),
        (99, [(0, 99)]),
        (100, [(0, 100)]),
        (101, [(0, 100), (80, 101)]),
        (180, [(0, 100), (80, 180)]),
        (300, [(0, 100), (80, 180), (160, 260), (240, 300)]),
    ],
)
def test_windows_overlap_and_cover_the_waveform(
    block: int, total: int, expected: list[tuple[int, int]]
) -> None:
    assert spans(total, block=block, size=100, hop=80, shortest=10) == expected


@pytest.mark.parametrize("block", [1, 1000])
def test_a_short_last_window_begins_earlier(block: int) -> None:
    windows = spans(203, block=block, size=100, hop=100, shortest=10)
    assert windows == [(0, 100), (100, 200), (193, 203)]


def test_only_a_window_and_a_block_are_in_memory() -> None:
    blocks = (np.zeros(10, np.float32) for _ in range(1000))
    windows = cut_windows(blocks, size=100, hop=80, shortest=10)
    sizes = [w.samples.base.size for w in windows]  # type: ignore[union-attr]  # a view has a base
    assert max(sizes) <= 120
