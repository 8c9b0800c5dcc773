"""uvicorn's server with an end that loses no accepted request and comes in bounded time."""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn

from serve.http.listener import has_waiting, let_nobody_in
from serve.http.registry import Connections
from serve.http.stop import Stop
from serve.lifecycle.signals import AT_ONCE, Signals
from serve.workers.board import Row

SETTLE_S = 0.5  # for the requests of the connections that were opened last
ACCEPT_S = 2.0  # at most, until those are accepted: longer only if the event loop is held
JOBS_MARGIN_S = 2.0  # before the deadline, when jobs are no longer waited for
LAST_S = 3.0  # after the deadline, for 503 and for native code that cannot be stopped


class Server(uvicorn.Server):
    """A server that a flag ends: some seconds of grace, no more listening, the rest answered."""

    def __init__(
        self,
        config: uvicorn.Config,
        signals: Signals,
        connections: Connections,
        *,
        grace_s: float,
        timeout_s: float,
        report: Callable[[str], None],
        reload: Callable[[], object],
        row: Row | None = None,
    ) -> None:
        """Make a server that is not started.

        Args:
            config: of uvicorn.
            signals: whose flag ends the server.
            connections: of the server.
            grace_s: after the flag, in which new connections are accepted for one answer each, so
                that clients and load balancers have the time to go elsewhere.
            timeout_s: after the flag, within which the server ends.
            report: takes one line of the log.
            reload: begins to read the models and their routes again.
            row: of this worker, where several serve the port; None for a server of one process.
        """
        super().__init__(config)
        self._signals = signals
        self._connections = connections
        self._grace_s = min(grace_s, timeout_s)
        self._timeout_s = timeout_s
        self._report = report
        self._row = row
        self._reload = reload
        self._hangups = 0
        self._announced = False

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `Signals`."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Return whether the grace is over; log what signals asked for."""
        if self._hangups != self._signals.hangups:
            self._hangups = self._signals.hangups
            self._report("SIGHUP: the models and routing.json are read again")
            self._reload()
        stop = self._signals.stop
        if self._row is not None:
            self._row.set_busy(stop.is_busy())
            if self._row.board.is_ending():
                stop.request()
        if stop.requested and not self._announced:
            self._announced = True
            self._connections.drain()
            if not stop.failure:
                self._report(f"ending: {self._grace_s} s of grace; a second signal ends at once")
            end_after(self._timeout_s - stop.elapsed_s + LAST_S)
        return await super().on_tick(counter) or (stop.requested and self._is_grace_over(stop))

    def _is_grace_over(self, stop: Stop) -> bool:
        """Return whether the port may be closed: no job runs whose answer a client will fetch."""
        if stop.failure or stop.elapsed_s >= self._timeout_s - JOBS_MARGIN_S:
            return True
        is_busy = stop.is_busy() if self._row is None else self._row.board.is_busy()
        return stop.elapsed_s >= self._grace_s and not is_busy

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop to listen, answer what was accepted, cut the rest at the deadline."""
        # where one of several workers ends, what it does not accept is the others'
        is_alone = self._row is not None and not self._row.board.is_ending()
        listeners = [] if is_alone else sockets or []
        for listener in listeners:
            let_nobody_in(listener)
        # a connection that was opened last may not have sent its request yet
        await asyncio.sleep(SETTLE_S)
        end_s = self._signals.stop.elapsed_s + ACCEPT_S
        while any(map(has_waiting, listeners)) and self._signals.stop.elapsed_s < end_s:
            await asyncio.sleep(SETTLE_S / 10)
        left_s = self._timeout_s - self._signals.stop.elapsed_s
        self.config.timeout_graceful_shutdown = max(0, left_s)  # type: ignore[assignment]  # wait_for takes a float
        await super().shutdown(sockets)


def end_after(seconds: float) -> None:
    """End the process after some seconds, whatever it does then."""
    timer = threading.Timer(seconds, os._exit, (AT_ONCE,))
    timer.daemon = True
    timer.start()
