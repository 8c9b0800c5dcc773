"""Answer requests in a pool of threads, one per CPU, with a bounded queue.

Starlette's shared pool is not used: its forty runs at once would need forty times the memory.
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
    """A pool that runs functions off the event loop: `workers` at once, `queue` more waiting."""

    def __init__(self, *, workers: int, queue: int) -> None:
        """Start without threads; the first requests start them."""
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="slipway")
        self._places = threading.Semaphore(workers + queue)
        self._capacity = workers + queue

    async def run(self, function: Callable[[], T]) -> T:
        """Run a function in a worker; the event loop goes on meanwhile.

        A cancelled caller does not stop the function: onnxruntime cannot be interrupted safely, and
        the place in the queue is free again only when the function ends.

        Raises:
            OverloadedError: every worker is busy and the queue is full; the function did not run.
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
        # every accepted request has its response by now: no client waits for queued work
        self._executor.shutdown(wait=True, cancel_futures=True)
