"""The simulation and real servers whose model sleeps, under the same requests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.commands.simulation.arrivals import exponential
from tests.serve.commands.simulation.comparison import (
    Case,
    balancer,
    compare,
    find_haproxy,
    load_of,
    stub_servers,
)

pytestmark = pytest.mark.alone  # it compares seconds
SLEEP_S, SECONDS = 0.05, 4
TRIES = 3  # a machine that is busy with other work delays requests


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    with stub_servers(tmp_path_factory.mktemp("stub") / "artifacts", 2) as urls:
        yield urls


def differences(case: Case) -> list[float]:
    """Return how far the simulated mean, p50 and p99 are from the real ones, as shares."""
    real, simulated = case.real, case.simulated
    pairs = [
        (simulated.mean_s, real.mean_s),
        (simulated.p50_s, real.p50_s),
        (simulated.p99_s, real.p99_s),
    ]
    return [abs(one / other - 1) for one, other in pairs]


def test_one_replica(urls: list[str]) -> None:
    arrivals = load_of(0.6, exponential(SLEEP_S), SLEEP_S, SECONDS)
    for _ in range(TRIES):
        case = compare("", urls[0], arrivals, replicas=1, balance="round-robin")
        if max(differences(case)) < 0.15 and case.real.refused == 0:
            break
    else:
        pytest.fail(str(case))
    assert case.simulated.refused == 0


def test_two_replicas_behind_a_balancer(urls: list[str], tmp_path: Path) -> None:
    if find_haproxy() is None:
        pytest.skip("haproxy is not installed")
    arrivals = load_of(1.2, exponential(SLEEP_S), SLEEP_S, SECONDS)
    with balancer(tmp_path, urls, "round-robin") as url:
        for _ in range(TRIES):
            case = compare("", url, arrivals, replicas=2, balance="round-robin")
            if max(differences(case)) < 0.15:
                break
        else:
            pytest.fail(str(case))


def test_what_is_too_much_is_refused_alike(urls: list[str]) -> None:
    arrivals = load_of(2.5, exponential(SLEEP_S), SLEEP_S, 3)
    for _ in range(TRIES):
        case = compare("", urls[0], arrivals, replicas=1, balance="round-robin")
        if abs(case.simulated.refused / max(1, case.real.refused) - 1) < 0.15:
            break
    else:
        pytest.fail(str(case))
