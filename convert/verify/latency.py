"""Latency of graphs relative to each other, on a machine that may be busy with other work.

Times are processor time of the thread that runs a graph, and the least of many turns: other work
makes a graph wait, which the wall clock counts and the processor's does not, and what it evicts
from the caches only adds to a run.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.samples.sets import collate
from runtime.engine.session import Feeds, Session, SessionOptions

WARM_UP_RUNS = 2
SECONDS = 1.0  # of processor time per graph
MAX_ROUNDS = 200
MIN_ROUNDS = 7
REPETITIONS = 3  # at most, where a ratio is near a bound; each loads the graphs anew
CONCURRENT_RUNS = 2  # each on one thread

IsClose = Callable[[Sequence[float]], bool]


def least_ms(
    paths: Sequence[Path], feeds: Feeds, *, is_close: IsClose = lambda times: False
) -> list[float]:
    """Return the least processor milliseconds of one run of each graph, at one thread, in turns.

    A turn is two runs of one graph, the second of them timed. A small graph right after a large
    one takes up to a seventh longer, and of two equal graphs the first would seem the slower one.

    Args:
        paths: ONNX files of the same inputs.
        feeds: one sample.
        is_close: tells from the times so far, in the order of `paths`, whether the noise of a
            measurement could decide otherwise. Then it is repeated: the graphs lie elsewhere in
            memory, and what disturbed one of them may be over.
    """
    least = [float("inf")] * len(paths)
    for _ in range(REPETITIONS):
        least = [min(pair) for pair in zip(least, _in_turns(paths, feeds), strict=True)]
        if not is_close(least):
            break
    return least


def _in_turns(paths: Sequence[Path], feeds: Feeds) -> list[float]:
    """Load the graphs, and return the least milliseconds of a run of each."""
    sessions = [Session(path, SessionOptions(threads=1)) for path in paths]
    for session in sessions:
        for _ in range(WARM_UP_RUNS):
            session.run(feeds)
    least = [float("inf")] * len(sessions)
    start_s = time.thread_time()
    for finished in range(MAX_ROUNDS):
        if finished >= MIN_ROUNDS and time.thread_time() - start_s > SECONDS * len(sessions):
            break
        for index, session in enumerate(sessions):
            session.run(feeds)  # brings back what the other graphs evicted from the caches
            before_s = time.thread_time()
            session.run(feeds)  # one thread of onnxruntime: this one
            least[index] = min(least[index], (time.thread_time() - before_s) * 1000)
    return least


def run_and_time(
    path: Path, samples: Sequence[Feeds]
) -> tuple[dict[str, NDArray[np.generic]], float]:
    """Run each sample alone; return the outputs and the median milliseconds at one thread.

    Two runs go on at once, so the time is a first estimate, in processor time; `least_ms` decides.
    """
    session = Session(path, SessionOptions(threads=1))

    def run(feeds: Feeds) -> tuple[dict[str, NDArray[np.generic]], float]:
        before_s = time.thread_time()
        outputs = session.run(feeds)
        return outputs, (time.thread_time() - before_s) * 1000

    with ThreadPoolExecutor(CONCURRENT_RUNS) as pool:
        outputs, milliseconds = zip(*pool.map(run, samples), strict=True)
    return collate(outputs), statistics.median(milliseconds)
