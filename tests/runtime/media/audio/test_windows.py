"""Waveforms cut into windows."""

import numpy as np
import pytest

from runtime.media.audio.windows import cut_windows


def spans(total: int, *, block: int, size: int, hop: int, shortest: int) -> list[tuple[int, int]]:
    """Begin and end of each window, whose content is checked to be what lies there."""
    waveform = np.arange(total, dtype=np.float32)
    blocks = (waveform[at : at + block] for at in range(0, total, block))
    found = []
    for cut in cut_windows(blocks, size=size, hop=hop, shortest=shortest):
        end = cut.start + cut.samples.size
        np.testing.assert_array_equal(cut.samples, waveform[cut.start : end])
        found.append((cut.start, end))
    return found


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
def test_windows_with_overlap(block: int, total: int, expected: list[tuple[int, int]]) -> None:
    assert spans(total, block=block, size=100, hop=80, shortest=10) == expected


@pytest.mark.parametrize("block", [1, 1000])
def test_short_rest_begins_earlier(block: int) -> None:
    found = spans(203, block=block, size=100, hop=100, shortest=10)
    assert found == [(0, 100), (100, 200), (193, 203)]


def test_only_a_window_and_a_block_are_held() -> None:
    blocks = (np.zeros(10, np.float32) for _ in range(1000))
    sizes = [c.samples.base.size for c in cut_windows(blocks, size=100, hop=80, shortest=10)]  # type: ignore[union-attr]  # a view has a base
    assert max(sizes) <= 120
