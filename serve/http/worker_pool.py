"""Where requests are worked on: threads of our own, as many as there are CPUs, and a bounded queue.

Starlette's shared thread pool is not used: forty runs at once would need forty times the memory.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from serve.errors import OverloadedError

T = TypeVar("T")


class WorkerPool:
    """Runs functions off the event loop, at most `workers` at once and `queue` waiting."""

    def __init__(self, *, workers: int, queue: int) -> None:
        """Start with no thread; they come with the first requests."""
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="slipway")
        self._places = threading.Semaphore(workers + queue)
        self._capacity = workers + queue

    async def run(self, function: Callable[[], T]) -> T:
        """Run a function in a worker and wait for it without blocking the event loop.

        The work is not stopped when the caller goes away: a run of onnxruntime cannot be left
        half done, and its place is given back when it really ends.

        Raises:
            OverloadedError: every worker is busy and the queue is full; nothing was started.
        """
        if not self._places.acquire(blocking=False):
            raise OverloadedError(
                f"{self._capacity} requests are running or waiting, and no more are allowed; "
                "try again later"
            )
        try:
            future = self._executor.submit(function)
        except RuntimeError:
            self._places.release()
            raise
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # by now every accepted request is answered, so what still waits has no reader
        self._executor.shutdown(wait=True, cancel_futures=True)
