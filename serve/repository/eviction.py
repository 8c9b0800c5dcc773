"""Unload models that no running request uses; the next request loads them again."""

import gc
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager

from runtime.engine.allocator import release_free_memory
from serve.repository.slot import Slot
from serve.repository.status import ModelState


class Eviction:
    """The loaded models as the keeper of the memory sees them. Safe to use from several threads."""

    def __init__(
        self, slots: Mapping[str, Slot], lock: threading.Lock, report: Callable[[str], None]
    ) -> None:
        """Take the repository's slots and their lock; evict nothing while it starts.

        Args:
            slots: of the models by id.
            lock: of the slots.
            report: takes a line for each model that is unloaded.
        """
        self._slots, self._lock, self._report = slots, lock, report
        self.allowed = True
        self.count = 0  # models that were evicted so far

    def usage(self, model_id: str) -> Slot:
        """Return the slot of a model, to read its users and when it was used."""
        return self._slots[model_id]

    def resident(self) -> list[str]:
        """Return the ids of the models in memory."""
        return [name for name, slot in self._slots.items() if slot.state is ModelState.READY]

    def evictable(self) -> list[str]:
        """Return the ids of those that nobody uses, the least recently used first."""
        if not self.allowed:
            return []
        idle = [
            (slot.used_s, name)
            for name, slot in self._slots.items()
            if slot.state is ModelState.READY and not slot.users
        ]
        return [name for _, name in sorted(idle)]

    def evict(self, model_id: str, *, idle_s: float = 0.0) -> bool:
        """Unload a model and give its memory back.

        Args:
            model_id: the model.
            idle_s: seconds for which nobody must have asked for it.

        Returns:
            False if it is not loaded, or in use, or was used later.
        """
        slot = self._slots[model_id]
        latest_s = time.monotonic() - idle_s
        with self._lock:
            if slot.state is not ModelState.READY or slot.users or slot.used_s > latest_s:
                return False
            slot.state, slot.load = ModelState.UNLOADED, Future()
            self.count += 1
            slot.evictions += 1
        # onnxruntime's memory is freed with the last reference, and stays in glibc's heap
        gc.collect()
        release_free_memory()
        self._report(f"model {model_id!r} is unloaded; the next request loads it")
        return True

    def evict_all(self, *, idle_s: float = 0.0) -> list[str]:
        """Unload each model that nobody uses; return their ids."""
        return [name for name in self.evictable() if self.evict(name, idle_s=idle_s)]


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
