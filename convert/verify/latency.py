"""Latency of graphs relative to each other: times vary with the machine's load, ratios less."""

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.samples.sets import collate
from runtime.engine.session import Feeds, Session, SessionOptions

WARM_UP_RUNS = 2
SECONDS = 1.5  # per graph
MAX_ROUNDS = 200
MIN_ROUNDS = 7
CONCURRENT_RUNS = 2  # each on one thread


def medians_ms(paths: Sequence[Path], feeds: Feeds, *, threads: int) -> list[float]:
    """Return the median milliseconds of one run of each graph, timed in turns.

    A turn is two runs of one graph, the second of them timed. A small graph right after a large
    one takes up to a seventh longer, and of two equal graphs the first would seem the slower one.

    Args:
        paths: ONNX files of the same inputs.
        feeds: one sample.
        threads: of a run; all other options are those that serve.
    """
    sessions = [Session(path, SessionOptions(threads=threads)) for path in paths]
    for session in sessions:
        for _ in range(WARM_UP_RUNS):
            session.run(feeds)
    times: list[list[float]] = [[] for _ in sessions]
    start = time.perf_counter()
    for finished in range(MAX_ROUNDS):
        if finished >= MIN_ROUNDS and time.perf_counter() - start > SECONDS * len(sessions):
            break
        for session, milliseconds in zip(sessions, times, strict=True):
            session.run(feeds)  # brings back what the other graphs evicted from the caches
            before = time.perf_counter()
            session.run(feeds)
            milliseconds.append((time.perf_counter() - before) * 1000)
    return [statistics.median(milliseconds) for milliseconds in times]


def run_and_time(
    path: Path, samples: Sequence[Feeds]
) -> tuple[dict[str, NDArray[np.generic]], float]:
    """Run each sample alone; return the outputs and the median milliseconds at one thread.

    Two runs go on at once, so the time is a first estimate; `medians_ms` decides.
    """
    session = Session(path, SessionOptions(threads=1))

    def run(feeds: Feeds) -> tuple[dict[str, NDArray[np.generic]], float]:
        before = time.perf_counter()
        outputs = session.run(feeds)
        return outputs, (time.perf_counter() - before) * 1000

    with ThreadPoolExecutor(CONCURRENT_RUNS) as pool:
        outputs, milliseconds = zip(*pool.map(run, samples), strict=True)
    return collate(outputs), statistics.median(milliseconds)
