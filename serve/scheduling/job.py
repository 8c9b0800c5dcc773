"""Run the turns of one request in worker threads, and hand its result to the event loop."""

import asyncio
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from typing import Generic, TypeVar

from runtime.errors import CancelledError
from serve.scheduling.call import Call, Seat
from serve.scheduling.slots import Slots
from serve.scheduling.ticket import Ticket
from serve.scheduling.workers import Workers

T = TypeVar("T")

# The work of a request: it yields between two turns, and each time the number of turns that are
# left, at least 1. Turns of other requests run meanwhile.
Turns = Generator[int, None, T]


def one_turn(function: Callable[[Call], T]) -> Callable[[Call], Turns[T]]:
    """Return the work of a request that takes a single turn: one call of a function."""

    def work(call: Call) -> Turns[T]:
        yield from ()
        return function(call)

    return work


class Job(Generic[T]):
    """One request on its way through the slots. Create it and call `stop` on the event loop."""

    def __init__(
        self,
        work: Callable[[Call], Turns[T]],
        call: Call,
        *,
        slots: Slots,
        workers: Workers,
        model: str,
        turn_s: float,
        check_turns: Callable[[int], None],
        background: bool = False,
    ) -> None:
        """Queue the first turn.

        Args:
            work: makes the turns.
            call: its cancellation and stopwatch.
            slots: in which the turns run.
            workers: threads, as many as there are slots.
            model: whose clock the turns are charged to.
            turn_s: seconds that one turn is expected to take.
            check_turns: called with the number of turns when it is known that there are several;
                raises OverloadedError if they find no room.
            background: whether other work comes first.
        """
        self._loop = asyncio.get_running_loop()
        self.result: asyncio.Future[T] = self._loop.create_future()
        self._slots = slots
        self._check_turns = check_turns
        self._stop_error: Exception | None = None
        self._ended = 0  # turns that asked for another one
        self._workers = workers
        self._ticket = Ticket(model, turn_s, lambda: workers.put(self._run), background=background)
        self.call = call
        if call.run_slots is None:
            self.call = replace(call, seat=Seat(slots, self._ticket))
        self._turns = work(self.call)
        slots.request(self._ticket)

    @property
    def turn_s(self) -> float:
        """Return the seconds of a thread that a turn took, once the job has ended."""
        watch = self.call.stopwatch
        seconds = watch.turns_s if self.call.seat is None else watch.own_s
        return seconds / max(1, self._ended)

    def forget(self) -> None:
        """Let go of the result, which may be large: ticket and job refer to each other."""
        self.result = self._loop.create_future()
        self.result.cancel()

    def expire(self, error: Exception) -> None:
        """End the request with an error if its first turn did not begin."""
        if not self._ended and self._slots.drop(self._ticket):
            self._close(error)

    def stop(self, error: Exception) -> None:
        """End the request with an error: at once if it waits, else as soon as its run stops."""
        if self._stop_error is not None:
            return
        self._stop_error = error
        self.call.cancellation.cancel()
        if self._slots.drop(self._ticket):
            self._close(error)

    def _close(self, error: Exception) -> None:
        """End a request that waits."""
        self._turns.close()
        self.call.give_back()
        self._finish(error)

    def _run(self) -> None:
        """Run one turn in a worker; then the slot is free, and the result on its way."""
        stopwatch = self.call.stopwatch
        stopwatch.start()
        turns = 0
        finish: Callable[[], None] | None = None
        try:
            self.call.cancellation.check()
            turns = self._next_turn()
        except StopIteration as end:
            finish = partial(self._finish, None, end.value)
        except BaseException as error:  # also what ends a thread: the client waits for an answer
            stopped = isinstance(error, CancelledError) and self._stop_error
            finish = partial(self._finish, stopped or error)
        stopwatch.stop()
        if finish is not None:
            self.call.give_back()
        # with turns, this thread or another one may go on
        self._workers.continue_with(partial(self._slots.release, self._ticket, turns=turns))
        if finish is not None:
            self._send(finish)

    def _next_turn(self) -> int:
        turns = next(self._turns)
        if not self._ended:
            self._check_turns(turns)
        self._ended += 1
        return turns

    def _send(self, finish: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(finish)
        except RuntimeError:
            return  # the loop is closed: the server ended without waiting for this request

    def _finish(self, error: BaseException | None, *values: T) -> None:
        """Set the result to the error, else to the value."""
        if self.result.done():  # its task was cancelled
            return
        if error is not None:
            self.result.set_exception(error)
        for value in values:
            self.result.set_result(value)
