"""Time of graphs against each other, in one run: machines are noisy, ratios less so."""

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
AT_ONCE = 2  # samples, on one thread each


def medians_ms(paths: Sequence[Path], feeds: Feeds, *, threads: int) -> list[float]:
    """Median milliseconds of one run of each graph, at the serving options, taken in turns.

    Each turn is two runs, the second timed: a small graph that follows a large one would take up to
    a seventh longer, and whichever came first would seem the slower of two alike.

    Args:
        paths: ONNX files of the same inputs.
        feeds: one sample.
        threads: of a run.
    """
    sessions = [Session(path, SessionOptions(threads=threads)) for path in paths]
    for session in sessions:
        for _ in range(WARM_UP_RUNS):
            session.run(feeds)
    samples: list[list[float]] = [[] for _ in sessions]
    start = time.perf_counter()
    for done in range(MAX_ROUNDS):
        if done >= MIN_ROUNDS and time.perf_counter() - start > SECONDS * len(sessions):
            break
        for session, taken in zip(sessions, samples, strict=True):
            session.run(feeds)  # brings back what the others pushed out of the caches
            before = time.perf_counter()
            session.run(feeds)
            taken.append((time.perf_counter() - before) * 1000)
    return [statistics.median(taken) for taken in samples]


def run_and_time(
    path: Path, samples: Sequence[Feeds]
) -> tuple[dict[str, NDArray[np.generic]], float]:
    """Outputs of samples, one run each, and the median milliseconds of a run at one thread.

    Two runs go at once, so the time is a first guess only; `medians_ms` is what decides.
    """
    session = Session(path, SessionOptions(threads=1))

    def run(feeds: Feeds) -> tuple[dict[str, NDArray[np.generic]], float]:
        before = time.perf_counter()
        outputs = session.run(feeds)
        return outputs, (time.perf_counter() - before) * 1000

    with ThreadPoolExecutor(AT_ONCE) as pool:
        outputs, taken = zip(*pool.map(run, samples), strict=True)
    return collate(outputs), statistics.median(taken)
