"""Measure a graph by the rows of its batch and by its threads."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.scaling.fit import Series, series
from benchmarks.timing import Effort, Run, interleaved
from runtime.artifact.golden import Golden, read_golden
from runtime.artifact.manifest import read_manifest, verify_file
from runtime.engine.resources import cpu_count, cpu_features
from runtime.engine.session import Session, SessionOptions
from runtime.model import choose_variant

ROWS = (1, 2, 4, 8, 16)


def measure_graph(directory: Path, effort: Effort) -> Iterator[Series]:
    """Yield the time of a run by rows, with one thread, and the runs per second by threads.

    Args:
        directory: artifacts/<model>/<version>; the variant that the runtime picks is measured.
        effort: number and duration of the runs.
    """
    manifest = read_manifest(directory)
    golden = read_golden(directory, manifest)
    path = verify_file(directory, choose_variant(manifest, cpu_features()).files[0])
    one_thread = Session(path, SessionOptions(threads=1))
    by_rows = interleaved([_run(one_thread, golden, rows) for rows in ROWS], effort)
    times = [(rows, one.median_ms) for rows, one in zip(ROWS, by_rows, strict=True)]
    yield series("rows of a batch", manifest.id, "ms of a run", times)
    counts = range(1, cpu_count() + 1)
    sessions = [Session(path, SessionOptions(threads=count)) for count in counts]
    by_threads = interleaved([_run(session, golden, 1) for session in sessions], effort)
    rates = [(n, 1000 / one.median_ms) for n, one in zip(counts, by_threads, strict=True)]
    yield series("threads", manifest.id, "runs/s", rates)


def _run(session: Session, golden: Golden, rows: int) -> Run:
    feeds = {name: np.repeat(array, rows, axis=0) for name, array in golden.feeds(0).items()}
    return lambda _: session.run(feeds)
