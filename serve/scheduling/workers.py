"""Threads that run what is handed to them."""

import threading
from collections.abc import Callable
from queue import SimpleQueue


class Workers:
    """A fixed number of threads, started at once: a request never waits for a thread to start."""

    def __init__(self, count: int, *, name: str) -> None:
        """Start the threads."""
        self._ready: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, function: Callable[[], None]) -> None:
        """Run a function, which must not raise, in the next free thread."""
        self._ready.put(function)

    def close(self, timeout_s: float) -> bool:
        """End the threads, after what was put before; return False if one still runs.

        Args:
            timeout_s: to wait for each thread.
        """
        for _ in self._threads:
            self._ready.put(None)
        for thread in self._threads:
            thread.join(timeout_s)
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (function := self._ready.get()) is not None:
            function()
            del function  # or its request would stay in memory until the next one
