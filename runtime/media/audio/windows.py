"""A waveform of any length as windows with overlap, of which only one is in memory at a time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from runtime.arrays import Waveform


@dataclass(frozen=True, slots=True)
class AudioWindow:
    """One window."""

    start: int  # samples from the beginning
    samples: Waveform  # (W,)


def cut_windows(
    blocks: Iterable[Waveform], *, size: int, hop: int, shortest: int
) -> Iterator[AudioWindow]:
    """Windows that cover a waveform.

    One begins every `hop` samples. The last ends with the waveform, so it may be shorter; a rest
    under `shortest` begins earlier instead. A waveform of up to `size` is one window.

    Args:
        blocks: the waveform in pieces of any length.
        size: samples of a window.
        hop: samples from one beginning to the next, at most `size`.
        shortest: samples of the last window, at least, where the waveform has them.
    """
    held = np.empty(0, np.float32)
    first = start = 0  # of what is held; of the next window
    for block in blocks:
        held = np.concatenate([held, block])
        while first + held.size >= start + size:
            yield AudioWindow(start, held[start - first :][:size])
            start += hop
            kept = max(first, start - shortest)
            held, first = held[kept - first :], kept
    end = first + held.size
    if end > start - hop + size or start == 0:
        last = max(0, min(start, end - shortest))
        yield AudioWindow(last, held[last - first :])
