"""Time of one run by the number of rows in it: whether a batch makes rows cheaper."""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from runtime.engine.resources import peak_memory_mib
from runtime.engine.session import Feeds, Session, SessionOptions

SIZES = (1, 2, 4, 8, 16, 32)  # rows
SECONDS = 3.0  # for all sizes together
MIN_ROUNDS, MAX_ROUNDS = 3, 50
REPEATED_ROWS = 4  # a turn of a smaller size is so many rows: a busy machine disturbs it more
LONGEST_RUN_S = 1.0  # no larger batch is tried
MOST_GROWTH_MIB = 512.0  # of this process's peak memory; the next size would take as much again


def batch_times_ms(path: Path, feeds: Feeds) -> dict[int, float]:
    """Return the milliseconds of one run by its rows, all sizes timed in turns at one thread.

    That is the CPU time of the thread, the shortest of each size: other work on the machine only
    adds to it. The sizes end where a run takes over a second or too much memory.

    Args:
        path: the ONNX file.
        feeds: one sample, batch axis 1; a batch repeats it.
    """
    session = Session(path, SessionOptions(threads=1))
    batches = _batches(session, feeds)
    best_s = dict.fromkeys(batches, float("inf"))
    start_s = time.perf_counter()
    for finished in range(MAX_ROUNDS):
        if finished >= MIN_ROUNDS and time.perf_counter() - start_s > SECONDS:
            break
        for rows, batch in batches.items():
            for _ in range(max(1, REPEATED_ROWS // rows)):
                best_s[rows] = min(best_s[rows], _run_s(session, batch))
    return {rows: 1000 * seconds for rows, seconds in best_s.items()}


def _batches(session: Session, feeds: Feeds) -> Mapping[int, Feeds]:
    """Return the batches that this machine runs in bounds of time and memory; one row always."""
    batches: dict[int, Feeds] = {}
    _run_s(session, feeds)
    before_mib = peak_memory_mib() or 0.0
    for rows in SIZES:
        batch = {name: np.repeat(array, rows, axis=0) for name, array in feeds.items()}
        seconds = _run_s(session, batch)
        batches[rows] = batch
        growth_mib = (peak_memory_mib() or 0.0) - before_mib
        if 2 * seconds > LONGEST_RUN_S or growth_mib > MOST_GROWTH_MIB:
            break
    return batches


def _run_s(session: Session, feeds: Feeds) -> float:
    start_s = time.thread_time()
    session.run(feeds)  # one thread of onnxruntime: this one
    return time.thread_time() - start_s
