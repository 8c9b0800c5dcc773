"""Threads that run what is handed to them."""

import threading
from collections import deque
from collections.abc import Callable

Function = Callable[[], None]


class Workers:
    """A fixed number of threads, started at once: a request never waits for a thread to start.

    The thread that became free last is woken, and no other. `queue.SimpleQueue` wakes a second
    one that finds nothing, for each item, and both then wait for the interpreter's lock.
    """

    def __init__(self, count: int, *, name: str) -> None:
        """Start the threads."""
        self._lock = threading.Lock()
        self._waiting: deque[Function | None] = deque()  # None: a thread shall end
        self._free: list[_Seat] = []
        self._own = _Own()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, function: Function) -> None:
        """Run a function, which must not raise, in the next free thread.

        That is this thread, within `continue_with`.
        """
        own = self._own
        if own.is_ending and own.next is None:
            own.next = function
        else:
            self._put(function)

    def continue_with(self, release: Function) -> None:
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
            self._put(None)
        for thread in self._threads:
            thread.join(timeout_s)
        return not any(thread.is_alive() for thread in self._threads)

    def _put(self, function: Function | None) -> None:
        with self._lock:
            if not self._free:
                self._waiting.append(function)
                return
            seat = self._free.pop()
        seat.function = function
        seat.wake.release()

    def _work(self) -> None:
        seat, own = _Seat(), self._own
        while (function := self._next(seat)) is not None:
            while function is not None:
                function()
                # a name that stays would keep its request in memory until the next one
                function, own.next = own.next, None

    def _next(self, seat: "_Seat") -> Function | None:
        """Return the function that waits longest; wait if none does."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._free.append(seat)
        seat.wake.acquire()
        function, seat.function = seat.function, None
        return function


class _Seat:
    """Hold the function of a free thread, and wake it."""

    __slots__ = ("function", "wake")

    def __init__(self) -> None:
        self.function: Function | None = None
        self.wake = threading.Lock()
        self.wake.acquire()


class _Own(threading.local):
    """The state of one thread; a thread that is no worker has one too."""

    is_ending = False
    next: Function | None = None
