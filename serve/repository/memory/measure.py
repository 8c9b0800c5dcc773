"""Measure what the load of a model costs this process."""

import gc
import threading
import time
from collections.abc import Callable

from runtime import Model
from runtime.engine.allocator import release_free_memory
from runtime.engine.memory import (
    ProcessMemory,
    anonymous_bytes,
    anonymous_peak_bytes,
    process_memory,
    reset_peak,
)
from serve.repository.memory.ledger import Cost

SAMPLE_S = 0.004
MISSED = 1.03  # of the sampled peak: the kernel has seen another one


class Watermark:
    """The highest anonymous memory of this process during a block, sampled by a thread."""

    def __init__(self) -> None:
        """Begin without samples."""
        self._samples: list[tuple[float, int]] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Watermark":
        """Begin to sample."""
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Take the last sample; the heap still keeps most of what was freed."""
        self._sample()
        self._end.set()
        self._thread.join()

    def highest_bytes(self, since_s: float = 0.0) -> int:
        """Return the highest sample since a time of `time.perf_counter`; the last one at least."""
        highest = max((size for at_s, size in self._samples if at_s >= since_s), default=0)
        return max(highest, self._samples[-1][1])

    def _watch(self) -> None:
        while not self._end.wait(SAMPLE_S):
            self._sample()

    def _sample(self) -> None:
        self._samples.append((time.perf_counter(), anonymous_bytes()))


def measured(load: Callable[[], Model]) -> tuple[Model, Cost]:
    """Load a model, which runs once, and measure its cost.

    The free heap goes back to the system before and after: the load would otherwise reuse it and
    seem to cost nothing, or leave its own behind and seem to cost too much.

    Args:
        load: loads the model and runs it once, at its end.
    """
    before = _settled()
    has_peak = reset_peak()
    start_s = time.perf_counter()
    with Watermark() as watermark:
        model = load()
        end_s = time.perf_counter()
    peak_bytes = anonymous_peak_bytes() if has_peak else 0
    after = _settled()
    run_start_s = end_s - (model.session.first_run_s or 0.0) - 2 * SAMPLE_S
    sampled_bytes, run_bytes = watermark.highest_bytes(), watermark.highest_bytes(run_start_s)
    if peak_bytes > MISSED * sampled_bytes:  # a short peak between two samples, as runs have them
        sampled_bytes = run_bytes = peak_bytes
    kept_bytes = max(0, after.anonymous_bytes - before.anonymous_bytes)
    return model, Cost(
        kept_bytes=kept_bytes,
        pss_bytes=max(0, after.pss_bytes - before.pss_bytes),
        load_peak_bytes=max(kept_bytes, sampled_bytes - before.anonymous_bytes),
        run_peak_bytes=max(0, run_bytes - after.anonymous_bytes),
        feed_bytes=model.session.first_feed_bytes,
        seconds=end_s - start_s,
        alone=True,
    )


def _settled() -> ProcessMemory:
    """Return the memory without garbage and free heap; zeros where the system does not tell."""
    gc.collect()
    release_free_memory()
    return process_memory() or ProcessMemory(0, 0, 0)
