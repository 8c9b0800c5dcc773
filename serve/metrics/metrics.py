"""All metrics of one process, and their text for Prometheus."""

import asyncio
import time
from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool

from runtime.engine.session import Feeds
from serve.http.log.record import RequestRecord
from serve.metrics.instruments import Instruments
from serve.scheduling.scheduler import Place
from serve.scheduling.stopwatch import Stopwatch

CONTENT_TYPE = CONTENT_TYPE_LATEST
FRESH_S = 0.25  # for which a text is given out again: the figures cost milliseconds to read


class Metrics:
    """The metrics of one process; a registry of its own, so that two servers share nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin at zero."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.instruments = Instruments(self.registry)
        self._clock = clock
        self._text = b""
        self._making: asyncio.Task[bytes] | None = None
        self._made_s = float("-inf")

    def watch(self, live: Collector) -> None:
        """Add the figures that are read when they are asked for."""
        self.registry.register(live)

    def count_request(self, record: RequestRecord) -> None:
        """Count a request that ended."""
        self.instruments.request(record)

    def count_work(self, place: Place, stopwatch: Stopwatch) -> None:
        """Count the stages of a request or job that ended well; that a job waits is no delay."""
        stages_s = stopwatch.stages_s
        if place.background:
            del stages_s["queue"]
        self.instruments.work(place.model, stages_s)

    def count_run(self, model: str, feeds: Feeds) -> None:
        """Count one run of a graph and its rows."""
        self.instruments.run(model, next(iter(feeds.values())).shape[0])

    async def text(self) -> bytes:
        """Return the text for Prometheus, at most a quarter of a second old.

        All that ask while it is made get the same one: nobody waits for more than one text,
        however long it takes to make and however many ask.
        """
        if self._making is None:
            if self._clock() - self._made_s < FRESH_S:
                return self._text
            self._making = asyncio.create_task(self._make())
        # whoever leaves does not end it for the others
        return await asyncio.shield(self._making)

    async def _make(self) -> bytes:
        try:
            self._text = await run_in_threadpool(generate_latest, self.registry)
            self._made_s = self._clock()
            return self._text
        finally:
            self._making = None
