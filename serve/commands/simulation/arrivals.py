"""The requests of a simulation: when each comes, for which model, and how long it computes."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from runtime.errors import InputError

MOST = 2_000_000  # requests; a simulated one takes about 20 microseconds and 500 bytes
MOST_S = 31 * 86400  # of simulated time; replicas are counted in each of these seconds

Draw = Callable[[Random], float]  # returns seconds in a slot


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request."""

    time_s: float
    model: str
    service_s: float  # in a slot


@dataclass(frozen=True, slots=True)
class Source:
    """Requests of one model."""

    model: str
    rate: float  # a second
    draw: Draw


def constant(seconds: float) -> Draw:
    """Return a draw of equal times."""
    return lambda random: seconds


def exponential(mean_s: float) -> Draw:
    """Return a draw of exponential times."""
    return lambda random: random.expovariate(1 / mean_s)


def poisson(sources: Sequence[Source], seconds: float, seed: int) -> list[Arrival]:
    """Return arrivals that know nothing of each other, in the order of time.

    Raises:
        InputError: there would be more than MOST, or it would last longer than MOST_S.
    """
    _check_count(sum(source.rate for source in sources) * seconds)
    if seconds > MOST_S:
        raise InputError(f"the arrivals last {seconds:.6g} s; allowed: {MOST_S}")
    arrivals = []
    for number, source in enumerate(sources):
        random = Random(f"{seed} {number}")  # sources do not change each other's arrivals
        time_s = random.expovariate(source.rate)
        while time_s < seconds:
            arrivals.append(Arrival(time_s, source.model, source.draw(random)))
            time_s += random.expovariate(source.rate)
    return sorted(arrivals, key=lambda arrival: arrival.time_s)


def read_arrivals(path: Path, draws: dict[str, Draw], seed: int) -> list[Arrival]:
    """Return the arrivals of a CSV file: seconds and model in each line, in any order.

    Raises:
        InputError: a line is not of this form, a model is unknown, or there are more than MOST.
    """
    random, arrivals = Random(seed), []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for number, row in enumerate(csv.reader(file), 1):
                _check_count(number)
                arrivals.append(_parse(row, f"{path}, line {number}", draws, random))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    return sorted(arrivals, key=lambda arrival: arrival.time_s)


def _parse(row: list[str], place: str, draws: dict[str, Draw], random: Random) -> Arrival:
    try:
        text, model = row
        time_s = float(text)
    except ValueError:
        raise InputError(f"{place} is {','.join(row)[:80]!r}; allowed: SECONDS,MODEL") from None
    if not 0 <= time_s <= MOST_S:
        raise InputError(f"{place} has {text[:80]} seconds; allowed: 0 to {MOST_S}")
    if model not in draws:
        raise InputError(f"{place} has the model {model[:80]!r}; allowed: {', '.join(draws)}")
    return Arrival(time_s, model, draws[model](random))


def _check_count(count: float) -> None:
    if count > MOST:
        raise InputError(f"there are {count:.0f} requests; allowed: {MOST}: simulate fewer seconds")
