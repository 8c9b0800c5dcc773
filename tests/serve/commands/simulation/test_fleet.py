"""The simulation against formulas, and its scaling by hand."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from serve.commands.planning.queueing import Stream, queue_of
from serve.commands.planning.scaling import Target, replicas_for
from serve.commands.simulation.arrivals import Arrival, Source, constant, exponential, poisson
from serve.commands.simulation.fleet import Fleet, Outcome, quantile, simulate
from serve.commands.simulation.replica import End
from serve.commands.simulation.scaler import Scaler, Scaling
from serve.scheduling.admission import Limits

NO_LIMITS = Limits(3600, 10**6, 3600.0)
LIMITS = Limits(2, 512, 30.0)
SCALING = Scaling(Target(slots=2), most=4, look_back_s=5, up_delay_s=3, down_delay_s=20, start_s=10)


def arrivals_of(rate: float, service_s: float, seconds: float) -> list[Arrival]:
    return poisson([Source("a", rate, constant(service_s))], seconds, seed=1)


def counts(outcome: Outcome) -> list[int]:
    return [count for _, count in outcome.replicas]


@pytest.mark.parametrize(("slots", "utilisation"), [(1, 0.7), (2, 0.8), (4, 0.5)])
def test_exponential_times_wait_as_in_erlangs_formula(slots: int, utilisation: float) -> None:
    rate = utilisation * slots / 0.01
    arrivals = poisson([Source("a", rate, exponential(0.01))], 15_000 / rate, seed=4)
    outcome = simulate(arrivals, Fleet(1, slots, NO_LIMITS))
    queue = replace(queue_of([Stream(rate, 0.01)], slots), variation=1.0)
    assert outcome.utilisation == pytest.approx(utilisation, rel=0.03)
    mean_s = sum(outcome.all_s) / len(outcome.all_s)
    assert mean_s == pytest.approx(queue.mean_wait_s + 0.01, rel=0.1)


def test_two_requests_by_hand() -> None:
    arrivals = [Arrival(1.0, "a", 0.5), Arrival(1.1, "a", 0.5), Arrival(1.2, "b", 0.1)]
    one = simulate(arrivals, Fleet(1, 1, LIMITS, outside_s=0.01))
    assert one.latencies_s["a"] == pytest.approx([0.51, 1.01])
    assert one.latencies_s["b"] == pytest.approx([0.41])  # it has had nothing yet, and comes first
    assert (one.busy_s, one.slot_s) == pytest.approx((1.1, 2.1))
    two = simulate(arrivals, Fleet(2, 1, LIMITS))
    assert two.latencies_s["a"] == pytest.approx([0.5, 0.5])


def test_models_are_served_in_fair_order() -> None:
    burst = [Arrival(0.0, "a", 0.1) for _ in range(20)]
    outcome = simulate([*burst, Arrival(0.01, "b", 0.1)], Fleet(1, 1, LIMITS))
    assert outcome.latencies_s["b"] == pytest.approx([0.19])


def test_more_than_the_queue_holds_is_refused_at_once() -> None:
    outcome = simulate([Arrival(0.0, "a", 0.5) for _ in range(20)], Fleet(1, 2, LIMITS))
    # two run; the last of seven that wait would start after 0.5 s and half of six runs, 2.0 s
    assert outcome.ends == {End.ANSWERED: 9, End.REFUSED: 11}


def test_a_request_that_waits_for_its_limit_expires() -> None:
    limits = Limits(60, 512, 0.3)
    # it was expected to start after 0.2 s, as the one before took no longer so far
    arrivals = [Arrival(0.0, "a", 0.2), Arrival(1.0, "a", 9.0), Arrival(1.01, "a", 0.2)]
    outcome = simulate(arrivals, Fleet(1, 1, limits))
    assert outcome.ends == {End.ANSWERED: 2, End.EXPIRED: 1}


def test_the_balancer_gives_to_the_replica_with_fewest_open_requests() -> None:
    arrivals = [Arrival(0.0, "a", 1.0), Arrival(0.1, "a", 0.1), Arrival(0.3, "a", 0.1)]
    outcome = simulate(arrivals, Fleet(2, 1, LIMITS, balance="least-open"))
    assert sorted(outcome.all_s) == pytest.approx([0.1, 0.1, 1.0])
    in_turn = simulate(arrivals, Fleet(2, 1, LIMITS, balance="round-robin"))
    assert max(in_turn.all_s) == pytest.approx(1.0)
    assert sorted(in_turn.all_s)[1] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("busy", "waiting_s", "replicas"),
    [(0.0, 0.0, 1), (1.4, 0.0, 1), (1.5, 0.0, 2), (2.8, 0.0, 2), (0.0, 0.6, 2), (2.8, 1.0, 4)],
)
def test_replicas_for_a_load(busy: float, waiting_s: float, replicas: int) -> None:
    # 2 slots at 70 %, and waiting work done within 0.25 s
    assert replicas_for(busy, waiting_s, Target(slots=2)) == replicas


def test_a_scaler_waits_for_a_load_that_lasts() -> None:
    scaler = Scaler(SCALING)
    decide = [scaler.decide(second, 2.0, 0.5, 1) for second in range(1, 6)]
    assert decide == [1, 1, 1, 3, 1]  # after three seconds; then it begins to wait anew
    quiet = Scaler(SCALING)
    assert [quiet.decide(second, 0.0, 0.0, 3) for second in (1, 20, 21)] == [3, 3, 1]


def test_replicas_follow_the_load_and_start_late() -> None:
    calm, busy = arrivals_of(20, 0.05, 30), arrivals_of(100, 0.05, 60)
    later: Sequence[Arrival] = [replace(one, time_s=one.time_s + 30) for one in busy]
    end = [Arrival(170.0, "a", 0.05)]
    outcome = simulate([*calm, *later, *end], Fleet(1, 2, LIMITS, scaling=SCALING))
    assert counts(outcome)[0] == 1
    assert max(counts(outcome)) == 4
    first_s = next(time_s for time_s, count in outcome.replicas if count > 1)
    assert 43 <= first_s <= 50  # the delay and the start, after 30 s
    assert counts(outcome)[-1] == 1
    assert outcome.ends[End.REFUSED] > 0  # before the replicas are there
    last = [time_s for time_s, _ in outcome.replicas][-1]
    assert 105 <= last <= 130


def test_a_replica_that_leaves_answers_what_it_has() -> None:
    arrivals = [*arrivals_of(60, 0.05, 60), Arrival(120.0, "a", 0.05)]
    outcome = simulate(arrivals, Fleet(4, 2, LIMITS, scaling=replace(SCALING, down_delay_s=4)))
    assert min(counts(outcome)) < 4
    assert outcome.ends == {End.ANSWERED: len(arrivals)}


def test_a_quantile_is_one_of_the_values() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile(range(1, 101), 0.99) == 99


def test_the_same_seed_makes_the_same_arrivals() -> None:
    sources = [Source("a", 50.0, exponential(0.01)), Source("b", 5.0, exponential(0.1))]
    assert poisson(sources, 10, seed=3) == poisson(sources, 10, seed=3)
    assert poisson(sources, 10, seed=3) != poisson(sources, 10, seed=4)
    alone = [one for one in poisson(sources, 10, seed=3) if one.model == "a"]
    assert alone == poisson(sources[:1], 10, seed=3)
