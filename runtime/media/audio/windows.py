"""Cut a waveform of any length into overlapping windows, with one window in memory at a time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from runtime.arrays import Waveform


@dataclass(frozen=True, slots=True)
class AudioWindow:
    """A part of a waveform."""

    start: int  # index of the first sample in the waveform
    samples: Waveform  # (W,)


def cut_windows(
    blocks: Iterable[Waveform], *, size: int, hop: int, shortest: int
) -> Iterator[AudioWindow]:
    """Yield windows that together cover a waveform.

    A window begins every `hop` samples. The last window ends with the waveform, so it may be
    shorter than `size`; if it would be shorter than `shortest`, it begins earlier instead. A
    waveform of up to `size` samples is one window.

    Args:
        blocks: the waveform, in pieces of any length.
        size: samples of a window.
        hop: samples from the start of one window to the start of the next, at most `size`.
        shortest: fewest samples of the last window, if the waveform has that many.
    """
    buffer = np.empty(0, np.float32)
    buffer_start = window_start = 0
    for block in blocks:
        buffer = np.concatenate([buffer, block])
        while buffer_start + buffer.size >= window_start + size:
            yield AudioWindow(window_start, buffer[window_start - buffer_start :][:size])
            window_start += hop
            # the last window may begin `shortest` samples before this one
            new_start = max(buffer_start, window_start - shortest)
            buffer, buffer_start = buffer[new_start - buffer_start :], new_start
    end = buffer_start + buffer.size
    if end > window_start - hop + size or window_start == 0:
        start = max(0, min(window_start, end - shortest))
        yield AudioWindow(start, buffer[start - buffer_start :])
