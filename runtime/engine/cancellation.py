"""Stop work that nobody waits for any more, from another thread."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from runtime.errors import CancelledError


class Cancellation:
    """A request to stop one piece of work. Safe to use from several threads at once.

    The thread that works calls `check` between two steps, and puts each step that can be stopped
    from outside into `stopping`.
    """

    def __init__(self) -> None:
        """Begin uncancelled."""
        self._lock = threading.Lock()
        self._cancelled = False
        self._stops: list[Callable[[], None]] = []

    @property
    def cancelled(self) -> bool:
        """Return whether `cancel` was called."""
        return self._cancelled

    def cancel(self) -> None:
        """Stop the work: call the functions of the open `stopping` blocks. Later calls do nothing.

        The functions run in this thread, under a lock: they must be short and must not raise.
        """
        with self._lock:
            if self._cancelled:
                return
            self._cancelled = True
            for stop in self._stops:
                stop()

    def check(self) -> None:
        """Raise CancelledError if `cancel` was called."""
        if self._cancelled:
            raise CancelledError("the work was cancelled")

    @contextmanager
    def stopping(self, stop: Callable[[], None]) -> Iterator[None]:
        """Call `stop` if `cancel` is called while the block runs.

        The block's own error then says that it was stopped; a caller turns it into CancelledError
        with `check`.

        Raises:
            CancelledError: `cancel` was called before the block.
        """
        with self._lock:
            self.check()
            self._stops.append(stop)
        try:
            yield
        finally:
            with self._lock:
                self._stops.remove(stop)
