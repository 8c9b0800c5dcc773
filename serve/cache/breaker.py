"""A circuit breaker: what fails again and again is left alone until a probe succeeds."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

FAILURES = 5  # in a row, after which no more calls are made
FIRST_PAUSE_S = 1.0  # until the first probe; each next one waits twice as long
LONGEST_PAUSE_S = 8.0


class Breaker:
    """Counts the failures of calls. Use it on the event loop only.

    No request pays for a probe: a task of its own makes them.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[object]],
        report: Callable[[str], None] = lambda _: None,
        *,
        pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        """Begin closed: calls are made.

        Args:
            probe: makes a call that costs nothing; it raises if that fails.
            report: takes a line when the state changes.
            pause_s: until the first probe.
        """
        self._probe = probe
        self._report = report
        self._pause_s = pause_s
        self._failures = 0
        self._probing: asyncio.Task[None] | None = None

    @property
    def state(self) -> Literal["closed", "open"]:
        """Return "open" while no calls are made."""
        return "closed" if self._probing is None else "open"

    def succeed(self) -> None:
        """Note a call that succeeded."""
        self._failures = 0

    def fail(self) -> None:
        """Note a call that failed; the fifth in a row opens the breaker."""
        self._failures += 1
        if self._failures >= FAILURES and self._probing is None:
            self._report(
                f"{FAILURES} calls in a row failed: no more are made until a probe succeeds"
            )
            self._probing = asyncio.get_running_loop().create_task(self._probe_until_well())

    def close(self) -> None:
        """End the probes."""
        if self._probing is not None:
            self._probing.cancel()

    async def _probe_until_well(self) -> None:
        pause_s = self._pause_s
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self._probe()
            except Exception:  # whatever it is, it is not well
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                break
        self._failures = 0
        self._probing = None
        self._report("a probe succeeded: calls are made again")
