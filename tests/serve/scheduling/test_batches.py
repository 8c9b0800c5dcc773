"""Batches: who joins, who runs, and what one request does to the others."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from runtime.engine.cancellation import Cancellation
from runtime.engine.session import Feeds
from runtime.errors import CancelledError
from serve.scheduling.batches import Batches, Batching, Place, Share, TimedOutputs
from serve.scheduling.slots import Slots
from serve.scheduling.ticket import Ticket

TIMEOUT_S = 30  # a broken batch fails a test after this instead of hanging it
BAD = 13.0  # a value that makes a run fail


class Machine:
    """Requests in threads of their own, slots, and a graph that doubles its input."""

    def __init__(self, slots: int = 1, *, most_rows: int = 4, delay_s: float = 0.0) -> None:
        self.slots = Slots(slots)
        self.batches = Batches(Batching(most_rows, delay_s), most_waiting=slots * (most_rows - 1))
        self.most_rows = most_rows
        self.runs: list[list[float]] = []  # the values of each run
        self.decode: Callable[[float], None] = lambda value: None
        self.during_run: Callable[[Cancellation], None] = lambda cancellation: None
        self.threads = ThreadPoolExecutor(32)

    def ask(
        self,
        value: float,
        *,
        model: str = "model",
        key: str = "key",
        rows: int = 1,
        cancellation: Cancellation | None = None,
    ) -> "Future[Share]":
        """Queue a request; it decodes, runs, and gives its slot back."""
        granted = threading.Event()
        ticket = Ticket(model, 0.01, granted.set)
        self.slots.request(ticket)

        def work() -> Share:
            assert granted.wait(TIMEOUT_S)
            try:
                self.decode(value)
                return self.batches.run(
                    key,
                    {"x": np.full((rows, 1), value)},
                    self.most_rows,
                    run=self._run,
                    place=Place(self.slots, model, False, 0.01, ticket),
                    cancellation=cancellation or Cancellation(),
                )
            finally:
                self.slots.release(ticket)  # fails if the request has no slot

        return self.threads.submit(work)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Keep the only slot until the block ends."""
        ticket = Ticket("model", 0.01, lambda: None)
        self.slots.request(ticket)
        yield
        self.slots.release(ticket)

    def _run(self, feeds: Feeds, cancellation: Cancellation) -> TimedOutputs:
        values = [float(value) for value in np.ravel(feeds["x"])]
        self.runs.append(values)
        self.during_run(cancellation)
        cancellation.check()
        if BAD in values:
            raise ValueError("a bad row")
        start_s = time.perf_counter()
        return TimedOutputs({"y": 2 * np.asarray(feeds["x"], np.float64)}, start_s, start_s + 1.0)


class Gate:
    """Holds the decoding of one value until the test opens it."""

    def __init__(self, machine: Machine, value: float) -> None:
        self.begun, self.open = threading.Event(), threading.Event()
        machine.decode = self._decode
        self._value = value

    def _decode(self, value: float) -> None:
        if value == self._value:
            self.begun.set()
            assert self.open.wait(TIMEOUT_S)


def value_of(future: "Future[Share]") -> float:
    return float(future.result(TIMEOUT_S).outputs["y"][0, 0])


def test_a_request_alone_runs_at_once() -> None:
    machine = Machine()
    share = machine.ask(1.0).result(TIMEOUT_S)
    assert share.outputs["y"].tolist() == [[2.0]]
    assert (share.rows, share.batch_rows, share.fraction) == (1, 1, 1.0)
    assert machine.runs == [[1.0]]


def test_those_that_wait_run_together_and_each_gets_its_rows() -> None:
    machine = Machine(most_rows=8)
    gate = Gate(machine, 1.0)
    asked = {value: machine.ask(value) for value in (1.0, 2.0, 3.0)}
    gate.open.set()
    assert {value: value_of(future) for value, future in asked.items()} == {1: 2, 2: 4, 3: 6}
    assert machine.runs == [[1.0, 2.0, 3.0]]
    shares = [future.result() for future in asked.values()]
    assert all(share.batch_rows == 3 for share in shares)
    assert all(share.outputs["y"].base is None for share in shares)  # keep no other row in memory


def test_a_full_batch_runs_and_the_others_form_the_next() -> None:
    machine = Machine(most_rows=4)
    gate = Gate(machine, 0.0)
    asked = {float(value): machine.ask(float(value)) for value in range(10)}
    gate.open.set()
    for value, future in asked.items():
        assert value_of(future) == 2 * value
    assert sorted(map(len, machine.runs)) == [2, 4, 4]
    assert sorted(value for run in machine.runs for value in run) == sorted(asked)


def test_rows_of_a_request_stay_together() -> None:
    machine = Machine(most_rows=4)
    gate = Gate(machine, 1.0)
    asked = [machine.ask(value, rows=rows) for value, rows in ((1.0, 2), (2.0, 1), (3.0, 3))]
    gate.open.set()
    shares = [future.result(TIMEOUT_S) for future in asked]
    assert [share.outputs["y"].tolist() for share in shares] == [
        [[2.0]] * 2, [[4.0]], [[6.0]] * 3,
    ]  # fmt: skip
    assert sorted(machine.runs) == [[1.0, 1.0, 2.0], [3.0, 3.0, 3.0]]


def test_different_runs_are_not_joined() -> None:
    machine = Machine(most_rows=4)
    gate = Gate(machine, 1.0)
    asked = [machine.ask(float(number), key=f"key{number % 2}") for number in range(1, 5)]
    gate.open.set()
    assert [value_of(future) for future in asked] == [2.0, 4.0, 6.0, 8.0]
    assert sorted(map(sorted, machine.runs)) == [[1.0, 3.0], [2.0, 4.0]]


def test_a_request_that_never_comes_to_the_run_holds_nobody_up() -> None:
    machine = Machine(most_rows=4)
    begun = threading.Event()

    def decode(value: float) -> None:
        if value == 1.0:
            assert begun.wait(TIMEOUT_S)
        if value == 2.0:
            raise ZeroDivisionError

    machine.decode = decode
    first, second = machine.ask(1.0), machine.ask(2.0)
    begun.set()
    assert value_of(first) == 2.0
    with pytest.raises(ZeroDivisionError):
        second.result(TIMEOUT_S)


def test_an_error_of_one_row_fails_that_request_alone() -> None:
    machine = Machine(most_rows=8)
    gate = Gate(machine, 1.0)
    asked = [machine.ask(value) for value in (1.0, BAD, 3.0)]
    gate.open.set()
    assert (value_of(asked[0]), value_of(asked[2])) == (2.0, 6.0)
    with pytest.raises(ValueError, match="a bad row"):
        asked[1].result(TIMEOUT_S)
    assert machine.runs == [[1.0, BAD, 3.0], [1.0], [BAD], [3.0]]


def test_the_row_of_a_client_that_left_is_dropped() -> None:
    machine = Machine(most_rows=8)
    gate = Gate(machine, 3.0)
    left = Cancellation()
    with machine.busy():
        asked = [machine.ask(1.0, cancellation=left), machine.ask(2.0), machine.ask(3.0)]
    assert gate.begun.wait(TIMEOUT_S)  # the first two wait in their batch
    left.cancel()
    gate.open.set()
    assert (value_of(asked[1]), value_of(asked[2])) == (4.0, 6.0)
    with pytest.raises(CancelledError):
        asked[0].result(TIMEOUT_S)
    assert machine.runs == [[2.0, 3.0]]


def test_a_run_ends_when_all_its_clients_left_and_not_before() -> None:
    machine = Machine(most_rows=8)
    gate = Gate(machine, 1.0)
    clients = [Cancellation(), Cancellation()]
    seen: list[bool] = []

    def during_run(cancellation: Cancellation) -> None:
        for client in clients:
            seen.append(cancellation.cancelled)
            client.cancel()
        seen.append(cancellation.cancelled)

    machine.during_run = during_run
    asked = [machine.ask(float(n), cancellation=c) for n, c in enumerate(clients, start=1)]
    gate.open.set()
    for future in asked:
        with pytest.raises(CancelledError):
            future.result(TIMEOUT_S)
    assert seen == [False, False, True]
    assert machine.runs == [[1.0, 2.0]]  # nobody's row ran again


def test_a_client_that_leaves_during_the_run_takes_nothing_from_the_other() -> None:
    machine = Machine(most_rows=8)
    gate = Gate(machine, 1.0)
    left = Cancellation()
    machine.during_run = lambda cancellation: left.cancel()
    asked = [machine.ask(1.0, cancellation=left), machine.ask(2.0)]
    gate.open.set()
    assert value_of(asked[1]) == 4.0
    with pytest.raises(CancelledError):
        asked[0].result(TIMEOUT_S)


def test_a_delay_waits_for_those_who_come_later() -> None:
    machine = Machine(most_rows=2, delay_s=TIMEOUT_S)
    first = machine.ask(1.0)
    second = machine.ask(2.0)  # fills the batch, long before the delay ends
    assert (value_of(first), value_of(second)) == (2.0, 4.0)
    assert machine.runs == [[1.0, 2.0]]


def test_a_delay_ends() -> None:
    machine = Machine(most_rows=4, delay_s=0.01)
    assert value_of(machine.ask(1.0)) == 2.0


def test_another_model_has_its_turn_while_a_batch_gathers() -> None:
    machine = Machine(most_rows=8)
    gate = Gate(machine, 1.0)
    asked = [machine.ask(float(n)) for n in range(1, 5)]
    other = machine.ask(100.0, model="other", key="other")
    gate.open.set()
    assert value_of(other) == 200.0
    assert [value_of(future) for future in asked] == [2.0, 4.0, 6.0, 8.0]
    assert machine.runs.index([100.0]) == 0  # before the batch, whose rest waits in the queue


def test_memory_bounds_a_batch() -> None:
    rooms: list[tuple[str, int]] = []

    def room_rows(model_id: str, row_bytes: int) -> int | None:
        rooms.append((model_id, row_bytes))
        return 3 if model_id == "known" else None

    batches = Batches(Batching(8, room_rows=room_rows), most_waiting=0)
    feeds = {"image": np.zeros((2, 100 * 1024), np.uint8)}
    assert batches.rows_that_fit("known", feeds, 8) == 3
    assert batches.rows_that_fit("other", feeds, 8) == 3  # of 100 KiB in chunks of 320
    assert batches.rows_that_fit("known", feeds, 2) == 2
    assert rooms[0] == ("known", 100 * 1024)


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_under_load_every_request_gets_its_own_answer(slots: int) -> None:
    machine = Machine(slots, most_rows=4)
    generator = np.random.default_rng(slots)
    asked: list[tuple[float, Cancellation | None, Future[Any]]] = []
    for number in range(400):
        value = BAD if number % 37 == 5 else 1000.0 + number
        client = Cancellation() if number % 5 == 0 else None
        key = f"key{number % 3}"
        rows = int(generator.integers(1, 4))
        asked.append((value, client, machine.ask(value, key=key, rows=rows, cancellation=client)))
        if client is not None and number % 10 == 0:
            client.cancel()
    for value, client, future in asked:
        error = future.exception(TIMEOUT_S)
        if isinstance(error, CancelledError):
            assert client is not None
        elif value == BAD:
            assert isinstance(error, ValueError)
        else:
            assert future.result().outputs["y"].tolist() == [[2 * value]] * future.result().rows
    assert any(len(set(run)) > 1 for run in machine.runs)  # some ran together
    assert machine.slots.expected_wait_s("model", 0.01) == 0.0  # every slot is free
