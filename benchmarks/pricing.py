"""`python -m benchmarks.pricing`: what a million requests cost, with your prices."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of a machine per hour, in any currency, and the share of its CPUs in use."""

    cpu_hour: float
    gigabyte_hour: float
    use: float = 0.6  # above it, requests wait for each other


EXAMPLE = Prices(cpu_hour=0.04, gigabyte_hour=0.004)  # of the order of a cloud's list prices


@dataclass(frozen=True, slots=True)
class Hours:
    """The time of a machine that 10^6 requests take."""

    cpu_hours: float
    gigabyte_hours: float


def hours_per_million(cpu_s: float, gigabytes: float, *, cpus: int, use: float) -> Hours:
    """Return the hours of CPUs and of memory that 10^6 requests take.

    A machine with C CPUs answers C x use x 3600 / cpu_s requests an hour, and has the server's
    memory for so long.

    Args:
        cpu_s: CPU seconds of the server per request.
        gigabytes: memory that the server takes.
        cpus: of the machine.
        use: share of the CPUs in use.
    """
    cpu_hours = 1e6 * cpu_s / 3600 / use
    return Hours(cpu_hours, cpu_hours * gigabytes / cpus)


def cost_per_million(cpu_s: float, gigabytes: float, *, cpus: int, prices: Prices) -> float:
    """Return the cost of 10^6 requests, in the currency of the prices; see `hours_per_million`."""
    hours = hours_per_million(cpu_s, gigabytes, cpus=cpus, use=prices.use)
    return hours.cpu_hours * prices.cpu_hour + hours.gigabyte_hours * prices.gigabyte_hour


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the cost and return 0."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pricing",
        description="Compute what a million requests cost: 10^6 x CPU seconds / 3600 / use x "
        '(price of a CPU hour + price of a GB hour x GB / CPUs). A report\'s table "Cost" has the '
        "CPU time and the memory of each model.",
    )
    add = parser.add_argument
    add("--cpu-ms", type=float, required=True, help="CPU time of the server per request, in ms")
    add("--memory-mb", type=float, required=True, help="memory that the server takes, in MB")
    add("--cpus", type=int, default=2, help="of the machine (default: %(default)s)")
    add("--cpu-hour", type=float, default=EXAMPLE.cpu_hour, help="price (default: %(default)s)")
    add("--gb-hour", type=float, default=EXAMPLE.gigabyte_hour, help="price (default: %(default)s)")
    add("--use", type=float, default=EXAMPLE.use, help="share of the CPUs (default: %(default)s)")
    options = parser.parse_args(arguments)
    prices = Prices(options.cpu_hour, options.gb_hour, options.use)
    cost = cost_per_million(
        options.cpu_ms / 1000, options.memory_mb / 1000, cpus=options.cpus, prices=prices
    )
    print(f"{cost:.2f} for 10^6 requests")
    return 0


if __name__ == "__main__":
    sys.exit(main())
