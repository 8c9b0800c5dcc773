"""Runs of graphs whose outputs are stored: the second key, for a file that is new.

A file that was encoded again has another digest, but the same pixels. It is decoded and
preprocessed, so that the geometry and the warnings of its answer are its own; the graph does not
run. The outputs stay in this process: to ask Redis for them would hold a CPU that could run.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from runtime import Model
from runtime.engine.session import Feeds, Outputs, Recall
from serve.cache.entry import Entry
from serve.cache.keys import identity_of, run_key
from serve.cache.memory_cache import MemoryCache, Stored

Value = Entry | Mapping[str, NDArray[np.generic]]


class Runs:
    """The runs of one request. One thread at a time uses it."""

    def __init__(self, memory: MemoryCache[Value], *, may_read: bool, may_store: bool) -> None:
        """Begin before the first run."""
        self._memory = memory
        self._may_read = may_read
        self._may_store = may_store
        self.identities: dict[str, str] = {}  # of the models that took part, by id
        self.is_batch = False  # whether the request has several files, each with an answer
        self.runs = 0  # that the graphs made
        self.oldest_s: float | None = None  # since 1970: of the outputs that were stored

    @property
    def age_s(self) -> float | None:
        """Return the age of an answer that needed no run; None if a graph ran, or none had to."""
        if self.runs or self.oldest_s is None:
            return None
        return max(0.0, time.time() - self.oldest_s)

    def recall(self, model: Model) -> Recall:
        """Return what answers the runs of a model for this request."""
        identity = identity_of(model)
        self.identities[model.spec.id] = identity

        def recall(feeds: Feeds, names: Sequence[str], run: Callable[[], Outputs]) -> Outputs:
            key = run_key(identity, feeds, names)
            stored = self._memory.get(key) if self._may_read else None
            if stored is not None:
                return self._again(stored)
            outputs = run()
            self.runs += 1
            with self._memory.lock:
                self._memory.counters.run_misses += 1
            if self._may_store:
                self._store(key, outputs)
            return outputs

        return recall

    def _again(self, stored: Stored[Value]) -> Outputs:
        assert not isinstance(stored.value, Entry)  # keys of runs are bytes, of answers str
        with self._memory.lock:
            self._memory.counters.run_hits += 1
        self.oldest_s = min(self.oldest_s or stored.since_s, stored.since_s)
        return {name: array.copy() for name, array in stored.value.items()}

    def _store(self, key: bytes, outputs: Outputs) -> None:
        size_bytes = sum(array.nbytes for array in outputs.values())
        if self._memory.has_room_for(size_bytes):
            copies = {name: array.copy() for name, array in outputs.items()}
            self._memory.put(key, copies, size_bytes)
