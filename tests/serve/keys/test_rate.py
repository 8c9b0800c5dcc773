"""The rate of each client, in bounded memory."""

from dataclasses import dataclass

import pytest

from serve.keys.rate import RateLimiter, network_of
from serve.settings.kinds import RATE, Rate


@dataclass
class Clock:
    """A clock that stands still."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_burst_then_one_each_interval() -> None:
    clock = Clock()
    limiter = RateLimiter(Rate(10, "s", burst=3), clock)
    assert [limiter.take("a") for _ in range(3)] == [0, 0, 0]
    assert limiter.take("a") == pytest.approx(0.1)
    assert limiter.take("a") == pytest.approx(0.1)  # a refused request costs nothing
    assert limiter.take("b") == 0
    clock.now_s = 0.1
    assert limiter.take("a") == 0
    assert limiter.take("a") > 0
    clock.now_s = 1000
    assert [limiter.take("a") for _ in range(4)] == [0, 0, 0, pytest.approx(0.1)]


def test_a_client_that_never_stops_gets_the_rate() -> None:
    clock = Clock()
    limiter = RateLimiter(Rate(60, "m", burst=5), clock)
    allowed = 0
    for tick in range(10_000):
        clock.now_s = tick / 100
        allowed += not limiter.take("a")
    assert allowed == 5 + 99


def test_the_clients_that_are_remembered_are_bounded() -> None:
    limiter = RateLimiter(Rate(1, "h", burst=1), Clock(), most=100)
    for number in range(1000):
        limiter.take(str(number))
        limiter.take("busy")  # one that asks often is not forgotten
    assert len(limiter) == 100
    assert limiter.take("busy") > 0
    assert limiter.take("999") > 0
    assert limiter.take("1") == 0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "20010db800010002"),
        ("2001:db8:1:2:ffff::", "20010db800010002"),
        ("fe80::1%eth0", "fe80000000000000"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("not:an:address", "not:an:address"),
    ],
)
def test_an_ipv6_client_has_a_network(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/s", Rate(10, "s", 10)),
        ("600/m,20", Rate(600, "m", 20)),
        ("1/h", Rate(1, "h", 1)),
        ("0/s", None),
        ("5/s,0", None),
        ("10", None),
        ("10/d", None),
        ("-1/s", None),
        ("9" * 7 + "/s", None),
    ],
)
def test_the_setting(text: str, rate: Rate | None) -> None:
    assert RATE.parse(text) == rate
    assert rate is None or RATE.parse(str(rate)) == rate
