"""The computed tables of deploy/SCALE.md; `python -m tests.deploy.scale_page` prints them."""

import math
from collections.abc import Iterator, Mapping, Sequence

from deploy import growth
from deploy.growth import Hardware, Traffic
from serve.commands.planning.queueing import Queue, Stream, queue_of
from serve.commands.simulation.arrivals import Source, constant, poisson
from serve.commands.simulation.fleet import Fleet, quantile, simulate
from serve.scheduling.admission import Limits

REQUESTS = 12_000  # of a row; more change the last digits
SLOTS, SEED = 2, 1
LIMITS = Limits(2, 512, 30.0)
SERVICE_MS: Mapping[str, float] = {"embedding": 7.2, "text": 12.2, "cut-out": 298.5}
MIXES: Mapping[str, tuple[Mapping[str, int], Sequence[str]]] = {
    # the parts of the requests, and the models of which a row tells
    "embeddings": ({"embedding": 1}, ("embedding",)),
    "embeddings and texts": ({"embedding": 1, "text": 1}, ("embedding",)),
    "50 embeddings to a cut-out": ({"embedding": 50, "cut-out": 1}, ("embedding", "cut-out")),
}
RATE = 100_000.0


def plan_rows() -> Iterator[str]:
    """Yield the rows of the plan and the simulation, both in ms."""
    for name, (parts, models) in MIXES.items():
        for utilisation in (0.5, 0.7, 0.85):
            yield from _plan_rows(name, parts, models, utilisation)


def _plan_rows(
    name: str, parts: Mapping[str, int], models: Sequence[str], utilisation: float
) -> Iterator[str]:
    whole = sum(parts.values())
    mean_s = sum(SERVICE_MS[model] * part for model, part in parts.items()) / whole / 1000
    rate = utilisation * SLOTS / mean_s
    rates = {model: rate * part / whole for model, part in parts.items()}
    queue = queue_of([Stream(rates[model], SERVICE_MS[model] / 1000) for model in parts], SLOTS)
    sources = [Source(one, rates[one], constant(SERVICE_MS[one] / 1000)) for one in parts]
    outcome = simulate(poisson(sources, REQUESTS / rate, SEED), Fleet(1, SLOTS, LIMITS))
    for model in models:
        pairs = zip(
            _planned_ms(queue, SERVICE_MS[model]),
            _simulated_ms(outcome.latencies_s[model]),
            strict=True,
        )
        cells = [f"{_rounded(planned)}, {_rounded(simulated)}" for planned, simulated in pairs]
        yield f"| {name} | {utilisation} | {model} | {' | '.join(cells)} |"


def _rounded(milliseconds: float) -> str:
    return f"{milliseconds:.0f}" if milliseconds >= 100 else f"{milliseconds:.3g}"


def _planned_ms(queue: Queue, service_ms: float) -> tuple[float, ...]:
    waits_s = (queue.mean_wait_s, queue.wait_s(0.5), queue.wait_s(0.99))
    return tuple(service_ms + 1000 * wait_s for wait_s in waits_s)


def _simulated_ms(times_s: Sequence[float]) -> tuple[float, ...]:
    figures_s = (sum(times_s) / len(times_s), quantile(times_s, 0.5), quantile(times_s, 0.99))
    return tuple(1000 * time_s for time_s in figures_s)


def machine_rows() -> Iterator[str]:
    """Yield the rows of hit rates."""
    hardware = Hardware()
    for hit_rate in (0.0, 0.6, 0.9):
        traffic = Traffic(RATE, hit_rate)
        cells = (
            f"{hit_rate:g}",
            f"{growth.busy_slots(traffic):.0f}",
            f"{growth.hit_cpus(traffic):.0f}",
            f"{growth.machines(traffic, hardware)}",
            f"{growth.redis_processes(traffic, hardware)}",
        )
        yield f"| {' | '.join(cells)} |"


def bottleneck_rows() -> Iterator[str]:
    """Yield the beginnings of the rows of what ends at which load."""
    for name, rate in growth.ends_at(Hardware(), Traffic(1.0)):
        yield f"| {math.floor(rate + 1e-6):,} | {name}"


def figures() -> Iterator[str]:
    """Yield the other figures of the page."""
    traffic, hardware = Traffic(RATE), Hardware()
    yield f"= {growth.gbit_in(traffic):.0f}"  # Gbit/s
    yield f"{growth.gbit_out(traffic):.1f} Gbit/s"
    yield f"{growth.proxies(traffic, hardware)} proxies"
    yield f"{growth.gigabytes_logged(traffic) / 1000:.0f} TB"
    for hit_rate in (0.0, 0.6):
        yield cost_line(Traffic(RATE, hit_rate), hardware)


def cost_line(traffic: Traffic, hardware: Hardware) -> str:
    """Return the line of the cost with the reader's prices as letters."""
    month = growth.HOURS_A_MONTH
    machines, proxies = growth.machines(traffic, hardware), growth.proxies(traffic, hardware)
    out = growth.gigabytes_out(traffic)
    return f"{machines * month:,} m + {proxies * month:,} b + {out:,.0f} n"


if __name__ == "__main__":
    for rows in (plan_rows, machine_rows, bottleneck_rows, figures):
        print("\n".join(rows()), end="\n\n")
