"""The arithmetic of many machines: what a load takes of CPUs, networks, stores and money."""

import math
from dataclasses import dataclass

HOURS_A_MONTH = 730
SECONDS_A_MONTH = 30 * 86400


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests of one kind, and what each weighs."""

    rate: float  # a second
    hit_rate: float = 0.0  # that the cache answers
    service_ms: float = 7.16  # in a slot: MobileNetV2, its decoding and HTTP
    hit_ms: float = 0.39  # of a CPU for a request that the cache answers
    request_bytes: int = 70_000
    answer_bytes: int = 2_000
    log_bytes: int = 250


@dataclass(frozen=True, slots=True)
class Hardware:
    """One kind of machine, and how full it may be."""

    cpus: int = 8
    utilisation: float = 0.7
    proxy_gbit: float = 5.6  # that one proxy with TLS passes on; an assumption
    redis_rate: float = 50_000.0  # look-ups a second of one process; an assumption


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of the reader, in one currency."""

    machine_hour: float
    balancer_hour: float
    gigabyte_out: float
    gigabyte_logged: float = 0.0


def busy_slots(traffic: Traffic) -> float:
    """Return the CPUs that are busy with requests that are computed."""
    return traffic.rate * (1 - traffic.hit_rate) * traffic.service_ms / 1000


def hit_cpus(traffic: Traffic) -> float:
    """Return the CPUs that are busy with requests that the cache answers."""
    return traffic.rate * traffic.hit_rate * traffic.hit_ms / 1000


def machines(traffic: Traffic, hardware: Hardware) -> int:
    """Return the machines that compute and answer hits."""
    busy = busy_slots(traffic) + hit_cpus(traffic)
    return _up(busy / (hardware.utilisation * hardware.cpus))


def gbit_in(traffic: Traffic) -> float:
    """Return the Gbit/s of requests."""
    return traffic.rate * traffic.request_bytes * 8 / 1e9


def gbit_out(traffic: Traffic) -> float:
    """Return the Gbit/s of answers."""
    return traffic.rate * traffic.answer_bytes * 8 / 1e9


def proxies(traffic: Traffic, hardware: Hardware) -> int:
    """Return the proxies with TLS."""
    return _up(gbit_in(traffic) / hardware.proxy_gbit)


def redis_processes(traffic: Traffic, hardware: Hardware) -> int:
    """Return the Redis processes for a look-up of every request; 0 without a cache."""
    return _up(traffic.rate / hardware.redis_rate) if traffic.hit_rate else 0


def gigabytes_out(traffic: Traffic) -> float:
    """Return the GB of answers a month."""
    return traffic.rate * traffic.answer_bytes * SECONDS_A_MONTH / 1e9


def gigabytes_logged(traffic: Traffic) -> float:
    """Return the GB of log a month."""
    return traffic.rate * traffic.log_bytes * SECONDS_A_MONTH / 1e9


def monthly_cost(traffic: Traffic, hardware: Hardware, prices: Prices) -> float:
    """Return the price of a month: machines, proxies, answers and logs."""
    return (
        machines(traffic, hardware) * prices.machine_hour * HOURS_A_MONTH
        + proxies(traffic, hardware) * prices.balancer_hour * HOURS_A_MONTH
        + gigabytes_out(traffic) * prices.gigabyte_out
        + gigabytes_logged(traffic) * prices.gigabyte_logged
    )


def ends_at(hardware: Hardware, traffic: Traffic) -> tuple[tuple[str, float], ...]:
    """Return the requests a second at which each part is full, the first one first.

    Args:
        hardware: of each part.
        traffic: what a request weighs; its rate does not count.
    """
    computed = traffic.service_ms / 1000 * (1 - traffic.hit_rate)
    parts = {
        "two CPUs": 2 * hardware.utilisation / computed,
        "one machine": hardware.cpus * hardware.utilisation / computed,
        "one proxy": hardware.proxy_gbit * 1e9 / (8 * traffic.request_bytes),
        "one Redis": hardware.redis_rate,
    }
    return tuple(sorted(parts.items(), key=lambda part: part[1]))


def _up(number: float) -> int:
    return math.ceil(number - 1e-9)
