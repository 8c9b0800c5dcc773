"""Threads that run what is handed to them."""

import threading
from collections.abc import Callable
from queue import SimpleQueue


class _Own(threading.local):
    """The state of one thread; a thread that is no worker has one too."""

    is_ending = False
    next: Callable[[], None] | None = None


class Workers:
    """A fixed number of threads, started at once: a request never waits for a thread to start."""

    def __init__(self, count: int, *, name: str) -> None:
        """Start the threads."""
        self._own = _Own()
        self._ready: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, function: Callable[[], None]) -> None:
        """Run a function, which must not raise, in the next free thread.

        That is this thread, within `continue_with`.
        """
        own = self._own
        if own.is_ending and own.next is None:
            own.next = function
        else:
            self._ready.put(function)

    def continue_with(self, release: Callable[[], None]) -> None:
        """Call a function; the first one that it puts runs in this thread, after the present one.

        Waking another thread costs two switches, and this one would wait in its place. What the
        present function does afterwards delays the next one.
        """
        self._own.is_ending = True
        try:
            release()
        finally:
            self._own.is_ending = False

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
            while function is not None:
                function()
                # `del`: else its request would stay in memory until the next one
                function, self._own.next = self._own.next, None
            del function
