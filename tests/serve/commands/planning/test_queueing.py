"""The formulas against known values and a simulation of the queue."""

import heapq

import numpy as np
import pytest
from numpy.typing import NDArray

from serve.commands.planning.queueing import Queue, Stream, erlang_c, queue_of


def simulated_waits(queue: Queue, services: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the wait of each request, without those of the first tenth."""
    arrivals = np.cumsum(np.random.default_rng(5).exponential(1 / queue.rate, len(services)))
    free = [0.0] * queue.slots
    waits = np.empty(len(services))
    for index, (arrival, service) in enumerate(zip(arrivals, services, strict=True)):
        start = max(arrival, heapq.heappop(free))
        waits[index] = start - arrival
        heapq.heappush(free, start + service)
    return waits[len(services) // 10 :]


def test_one_slot_is_busy_as_often_as_its_load() -> None:
    assert erlang_c(1, 0.3) == pytest.approx(0.3)


def test_two_slots_as_the_textbooks_have_it() -> None:
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)


def test_many_slots_do_not_overflow() -> None:
    assert 0 < erlang_c(5000, 4950.0) < 1


def test_the_wait_of_equal_services_at_one_slot_is_that_of_pollaczek_and_khinchine() -> None:
    queue = queue_of([Stream(rate=50, service_s=0.01)], slots=1)
    assert queue.variation == pytest.approx(0)
    assert queue.mean_wait_s == pytest.approx(0.5 * 0.01 / (2 * 0.5))


def test_a_queue_that_grows_without_end_has_an_infinite_wait() -> None:
    queue = queue_of([Stream(rate=201, service_s=0.01)], slots=2)
    assert queue.mean_wait_s == queue.wait_s(0.99) == float("inf")


@pytest.mark.parametrize("slots", [1, 2, 4])
@pytest.mark.parametrize("utilisation", [0.5, 0.7, 0.85])
def test_the_mean_and_the_p99_are_near_those_of_a_simulated_mix(
    slots: int, utilisation: float
) -> None:
    times = np.array([0.004, 0.012])  # three short requests for a long one
    rate = utilisation * slots / float(times @ [0.75, 0.25])
    queue = queue_of([Stream(0.75 * rate, times[0]), Stream(0.25 * rate, times[1])], slots)
    services = times[(np.random.default_rng(6).random(60_000) < 0.25).astype(int)]
    waits = simulated_waits(queue, services)
    assert queue.mean_wait_s == pytest.approx(float(waits.mean()), rel=0.15)
    assert queue.wait_s(0.99) == pytest.approx(float(np.quantile(waits, 0.99)), rel=0.2)
