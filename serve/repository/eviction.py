"""Unload models that no running request uses; the next request loads them again."""

import gc
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from runtime.engine.allocator import release_free_memory
from serve.repository.slot import Slot, SlotTable
from serve.repository.status import ModelState


class Eviction:
    """The loaded versions as the keeper of the memory sees them. Any thread may use it."""

    def __init__(self, table: SlotTable, report: Callable[[str], None]) -> None:
        """Take the repository's slots; evict nothing while it starts.

        Args:
            table: of the slots. A version in it is named "<model>/<version>".
            report: takes a line for each version that is unloaded.
        """
        self._table, self._report = table, report
        self.allowed = True
        self.count = 0  # versions that were evicted so far

    def usage(self, model_id: str) -> Slot:
        """Return the slot of a model's default version, to read its counters."""
        return self._table.defaults[model_id]

    def resident(self) -> list[str]:
        """Return the versions in memory."""
        return [slot.key for slot in self._table if slot.model]

    def evictable(self) -> list[str]:
        """Return those that nobody uses, the least recently used first."""
        if not self.allowed:
            return []
        idle = [(slot.used_s, slot.key) for slot in self._table if slot.model and not slot.users]
        return [key for _, key in sorted(idle)]

    def evict(self, key: str, *, idle_s: float = 0.0) -> bool:
        """Unload a version and give its memory back.

        Args:
            key: of the version.
            idle_s: seconds for which nobody must have asked for it.

        Returns:
            False if it is not loaded, or in use, or was used later.
        """
        latest_s = time.monotonic() - idle_s
        with self._table.lock:
            slots = (slot for slot in self._table if slot.model and slot.key == key)
            slot = next((slot for slot in slots if not slot.users), None)
            if slot is None or slot.used_s > latest_s:
                return False
            slot.state, slot.load = ModelState.UNLOADED, Future()
            self.count += 1
            slot.evictions += 1
        # onnxruntime's memory is freed with the last reference, and stays in glibc's heap
        gc.collect()
        release_free_memory()
        self._report(f"{key} is unloaded; the next request loads it")
        return True

    def evict_all(self, *, idle_s: float = 0.0) -> list[str]:
        """Unload each version that nobody uses; return the ids of their models, each once."""
        keys = [key for key in self.evictable() if self.evict(key, idle_s=idle_s)]
        return list(dict.fromkeys(key.partition("/")[0] for key in keys))


@contextmanager
def evicting_idle(eviction: Eviction, idle_s: float) -> Iterator[None]:
    """Unload models that nobody has asked for, while the block runs.

    Args:
        eviction: of the repository.
        idle_s: seconds without a request; 0: never.
    """
    if not idle_s:
        yield
        return
    end = threading.Event()

    def watch() -> None:
        while not end.wait(min(1.0, idle_s / 4)):
            eviction.evict_all(idle_s=idle_s)

    thread = threading.Thread(target=watch, name="slipway-idle", daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
