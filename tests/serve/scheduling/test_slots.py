"""Slots in fair order, with a clock of the test's own."""

import threading

import pytest

from runtime.engine.cancellation import Cancellation
from runtime.errors import CancelledError
from serve.scheduling.slots import Slots
from serve.scheduling.ticket import Ticket

TIMEOUT_S = 30  # a broken queue fails a test after this instead of hanging it


class Bench:
    """Slots, a clock that the test sets, and the names of the tickets in the order of grants."""

    def __init__(self, count: int, background: int | None = None) -> None:
        self.now_s = 0.0
        self.slots = Slots(count, background=background, clock=lambda: self.now_s)
        self.granted: list[str] = []

    def request(
        self, model: str, turn_s: float, name: str = "", turns: int = 1, background: bool = False
    ) -> Ticket:
        label = name or model
        ticket = Ticket(model, turn_s, lambda: self.granted.append(label), turns, background)
        self.slots.request(ticket)
        return ticket

    def work(self, ticket: Ticket, seconds: float, *, turns: int = 0) -> None:
        self.now_s += seconds
        self.slots.release(ticket, turns=turns)


def test_as_many_run_as_there_are_slots() -> None:
    bench = Bench(2)
    first, _, _ = (bench.request("a", 1.0, name) for name in "123")
    assert bench.granted == ["1", "2"]
    bench.work(first, 1.0)
    assert bench.granted == ["1", "2", "3"]


def test_a_burst_of_slow_work_delays_another_model_by_the_work_that_runs() -> None:
    bench = Bench(1)
    running = bench.request("cut-out", 0.4)
    for _ in range(50):
        bench.request("cut-out", 0.4)
    bench.request("face", 0.004)
    bench.work(running, 0.4)
    assert bench.granted == ["cut-out", "face"]


def test_models_share_the_time_not_the_turns() -> None:
    bench = Bench(1)
    tickets = {}
    for number in range(40):
        tickets[f"face{number}"] = bench.request("face", 0.1, f"face{number}")
    for number in range(10):
        tickets[f"cut-out{number}"] = bench.request("cut-out", 0.4, f"cut-out{number}")
    for _ in range(25):
        name = bench.granted[-1]
        bench.work(tickets[name], 0.4 if name.startswith("cut-out") else 0.1)
    cut_outs = sum(name.startswith("cut-out") for name in bench.granted)
    assert cut_outs == pytest.approx(5, abs=1)  # and 20 faces: 2 s each


def test_a_turn_that_takes_longer_than_expected_is_charged_in_full() -> None:
    bench = Bench(1)
    tickets = {"slow0": bench.request("slow", 0.1, "slow0")}
    tickets["slow1"] = bench.request("slow", 0.1, "slow1")
    for number in range(12):
        tickets[f"quick{number}"] = bench.request("quick", 0.1, f"quick{number}")
    bench.work(tickets["slow0"], 1.0)
    while bench.granted[-1] != "slow1":
        bench.work(tickets[bench.granted[-1]], 0.1)
    assert len(bench.granted) - 2 == pytest.approx(10, abs=1)  # a second of quick work


def test_an_idle_model_gathers_no_credit() -> None:
    bench = Bench(1)
    for _ in range(100):
        bench.work(bench.request("busy", 1.0), 1.0)
    first = bench.request("busy", 1.0, "busy0")
    tickets = {"busy0": first}
    for number in range(1, 5):
        tickets[f"busy{number}"] = bench.request("busy", 1.0, f"busy{number}")
    for number in range(50):
        tickets[f"new{number}"] = bench.request("new", 1.0, f"new{number}")
    bench.granted[:] = ["busy0"]
    for _ in range(9):
        bench.work(tickets[bench.granted[-1]], 1.0)
    assert sum(name.startswith("busy") for name in bench.granted) == 5


def test_further_turns_of_a_request_come_before_others_of_its_model() -> None:
    bench = Bench(1)
    several = bench.request("a", 1.0, "several")
    bench.request("a", 1.0, "other")
    bench.request("b", 1.0, "another model")
    bench.work(several, 1.0, turns=2)
    assert bench.granted == ["several", "another model"]
    assert bench.slots.waiting_s("a") == pytest.approx(3.0)


def test_a_ticket_that_is_dropped_is_not_granted() -> None:
    bench = Bench(1)
    running = bench.request("a", 1.0)
    dropped = bench.request("a", 1.0, "dropped")
    bench.request("a", 1.0, "last")
    assert bench.slots.drop(dropped)
    assert not bench.slots.drop(dropped)
    assert not bench.slots.drop(running)
    assert bench.slots.waiting_s("a") == pytest.approx(1.0)
    bench.work(running, 1.0)
    assert bench.granted == ["a", "last"]


def test_the_wait_is_the_work_ahead_and_the_rest_of_what_runs() -> None:
    bench = Bench(2)
    assert bench.slots.expected_wait_s("a", 1.0) == 0
    bench.request("a", 1.0)
    assert bench.slots.expected_wait_s("a", 1.0) == 0  # one slot is free
    bench.request("a", 1.0)
    assert bench.slots.expected_wait_s("a", 1.0) == pytest.approx(1.0)
    bench.now_s = 0.75
    assert bench.slots.expected_wait_s("a", 1.0) == pytest.approx(0.25)
    bench.request("a", 3.0)
    assert bench.slots.expected_wait_s("a", 1.0) == pytest.approx(0.25 + 3.0 / 2)
    # another model waits for no more of it than it will have had itself
    assert bench.slots.expected_wait_s("b", 0.2) == pytest.approx(0.25 + 0.2 / 2)


def test_work_that_hangs_is_expected_to_take_as_long_again() -> None:
    bench = Bench(1)
    bench.request("a", 1.0)
    bench.now_s = 11.0
    assert bench.slots.expected_wait_s("a", 1.0) == pytest.approx(10.0)


def test_bodies_on_their_way_count() -> None:
    bench = Bench(2)
    waits = [bench.slots.expected_wait_s("a", 1.0, arriving=count) for count in range(4)]
    assert waits == [0, 0, pytest.approx(0.5), pytest.approx(1.0)]


def test_a_thread_waits_for_its_slot_and_gives_it_back() -> None:
    slots, order = Slots(1), []
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with slots.held("a", 0.1, Cancellation()):
            inside.set()
            leave.wait(TIMEOUT_S)
            order.append("first")

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(TIMEOUT_S)
    second = threading.Thread(target=lambda: _hold(slots, order))
    second.start()
    while not slots.waiting("b"):
        assert second.is_alive()
    leave.set()
    thread.join(TIMEOUT_S)
    second.join(TIMEOUT_S)
    assert order == ["first", "second"]
    assert slots.expected_wait_s("a", 1.0) == 0


def _hold(slots: Slots, order: list[str]) -> None:
    with slots.held("b", 0.1, Cancellation()):
        order.append("second")


def test_a_thread_that_waits_can_be_cancelled() -> None:
    slots, cancellation = Slots(1), Cancellation()
    errors: list[BaseException] = []

    def hold() -> None:
        try:
            with slots.held("b", 0.1, cancellation):
                errors.append(AssertionError("the slot was taken"))
        except CancelledError as error:
            errors.append(error)

    with slots.held("a", 0.1, Cancellation()):
        thread = threading.Thread(target=hold)
        thread.start()
        while not slots.waiting("b"):
            assert thread.is_alive()
        cancellation.cancel()
        thread.join(TIMEOUT_S)
    assert [type(error) for error in errors] == [CancelledError]
    assert slots.waiting("b") == 0
    with slots.held("c", 0.1, Cancellation()):  # the slot is free again
        pass


def test_background_work_of_a_busy_model_gets_a_ninth_of_the_time() -> None:
    bench = Bench(1)
    tickets = {}
    for number in range(100):
        tickets[f"job{number}"] = bench.request("face", 0.1, f"job{number}", background=True)
        tickets[f"face{number}"] = bench.request("face", 0.1, f"face{number}")
    for _ in range(90):
        bench.work(tickets[bench.granted[-1]], 0.1)
    jobs = sum(name.startswith("job") for name in bench.granted)
    assert jobs == pytest.approx(10, abs=2)


def test_a_request_after_a_burst_of_background_work_waits_for_the_turn_that_runs() -> None:
    bench = Bench(1)
    first = bench.request("face", 0.1, "job0", background=True)
    for number in range(1, 50):
        bench.request("face", 0.1, f"job{number}", background=True)
    assert bench.slots.waiting("face") == 0
    bench.request("face", 0.1, "face")
    # at most the turn that runs, and an eighth of its own
    assert bench.slots.expected_wait_s("face", 0.1) < 0.1 + 0.1 + 2 * 0.1
    bench.work(first, 0.1)
    assert bench.granted == ["job0", "face"]


def test_background_work_leaves_slots_to_others() -> None:
    bench = Bench(3, background=1)
    first = bench.request("gait", 9.0, "job0", background=True)
    bench.request("gait", 9.0, "job1", background=True)
    assert bench.granted == ["job0"]
    bench.request("gait", 1.0, "gait")
    assert bench.granted == ["job0", "gait"]
    bench.work(first, 9.0)
    assert bench.granted == ["job0", "gait", "job1"]


def test_background_work_has_all_of_the_time_that_nobody_else_wants() -> None:
    bench = Bench(2)
    for number in range(3):
        bench.request("face", 0.1, f"job{number}", background=True)
    assert bench.granted == ["job0", "job1"]


def test_background_work_leaves_one_slot_free_while_others_send_requests() -> None:
    bench = Bench(2)
    bench.work(bench.request("face", 0.1), 0.1)
    jobs = [bench.request("cut-out", 0.4, f"job{n}", background=True) for n in range(4)]
    assert bench.granted == ["face", "job0"]
    face = bench.request("face", 0.1)
    assert bench.granted == ["face", "job0", "face"]
    bench.work(face, 0.1)
    bench.work(jobs[0], 0.4)
    assert bench.granted[3:] == ["job1"]
    bench.work(jobs[1], 0.6)  # a second after the last request
    assert bench.granted[4:] == ["job2", "job3"]
