"""Judge who is faster beyond the spread, and what share of the limits a server reaches.

Servers are compared round by round: a round's turns follow each other, so a drift of the machine
meets both. A peer that is as fast as ours is above it in all of five rounds once in 32 times.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.peers.measure import Turns, median
from benchmarks.peers.table import OWN, Peer
from benchmarks.serving.bare_loop import Work

FEWEST_ROUNDS = 3
BARE_LOOP = "bare loop"
Outcome = Literal["faster", "slower", "within the spread", "too few rounds"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answers of a peer over those of Slipway, in each round: median, lowest and highest."""

    model: str
    concurrency: int
    peer: str
    own: str
    rounds: int
    ratio: float
    ratio_minimum: float
    ratio_maximum: float
    verdict: Outcome  # of the peer


@dataclass(frozen=True, slots=True)
class Share:
    """The answers of a server over those of a limit, in each round."""

    model: str
    concurrency: int
    peer: str
    limit: str  # the bare loop, or a server that does nothing else
    share: float
    share_minimum: float
    share_maximum: float


def judge(ratios: Sequence[float]) -> Outcome:
    """Return what the ratios of several rounds say: all above 1, all below, or both."""
    if len(ratios) < FEWEST_ROUNDS:
        return "too few rounds"
    if min(ratios) > 1:
        return "faster"
    return "slower" if max(ratios) < 1 else "within the spread"


def verdicts(
    ones: Sequence[Peer], turns: Mapping[str, Turns], clients: Sequence[int]
) -> Iterator[Verdict]:
    """Compare the peers of one model with each server of ours; one that failed is left out."""
    others = [peer for peer in ones if not peer.name.startswith(OWN) and not peer.is_limit]
    for own in (peer for peer in ones if peer.name.startswith(OWN)):
        for count in clients:
            for peer in others:
                ratios = _ratios(turns[peer.name], turns[own.name], count)
                if ratios:
                    yield Verdict(
                        own.model, count, peer.name, own.name, len(ratios),
                        *_spread(ratios), judge(ratios),
                    )  # fmt: skip


def shares(
    ones: Sequence[Peer], turns: Mapping[str, Turns], works: Sequence[Work], clients: Sequence[int]
) -> Iterator[Share]:
    """Compare the servers of one model with its limits."""
    for peer in (peer for peer in ones if not peer.is_limit):
        for count in clients:
            rates = _rates(turns[peer.name], count)
            ratios = [a / b.per_s for a, b in zip(rates, works, strict=False)]
            limits = {BARE_LOOP: ratios} | {
                limit.name: _ratios(turns[peer.name], turns[limit.name], count)
                for limit in ones
                if limit.is_limit
            }
            for name, values in limits.items():
                if values:
                    yield Share(peer.model, count, peer.name, name, *_spread(values))


def sentences(results: Sequence[Verdict], own: str) -> Iterator[str]:
    """Say for each model and number of clients which peers are faster than one server of ours."""
    loads = dict.fromkeys((one.model, one.concurrency) for one in results if one.own == own)
    for model, clients in loads:
        ones = [v for v in results if (v.model, v.concurrency, v.own) == (model, clients, own)]
        head = f"{model}, {clients} client{'s' if clients > 1 else ''}: "
        faster = [one for one in ones if one.verdict == "faster"]
        few = [one for one in ones if one.verdict == "too few rounds"]
        if few:
            yield f"{head}{few[0].rounds} rounds; a verdict takes {FEWEST_ROUNDS}."
        elif faster:
            names = ", ".join(map(_told, faster))
            yield f"{head}FASTER than {own} in every round: {names}."
        else:
            best = max(ones, key=lambda one: one.ratio)
            yield f"{head}no peer is faster than {own} in every round; the best: {_told(best)}."


def _told(one: Verdict) -> str:
    spread = f"{one.ratio_minimum:.2f} to {one.ratio_maximum:.2f}"
    return f"{one.peer} with {one.ratio:.2f} of its answers ({spread})"


def _rates(turns: Turns, clients: int) -> list[float]:
    """Return the answers per second of each round; none of a server that failed."""
    return [] if turns.error else [one.load.per_s for one in turns.loads.get(clients, [])]


def _ratios(first: Turns, second: Turns, clients: int) -> list[float]:
    """Return the answers of the first over those of the second, round by round."""
    pairs = zip(_rates(first, clients), _rates(second, clients), strict=False)
    return [a / b for a, b in pairs]


def _spread(ratios: Sequence[float]) -> tuple[float, float, float]:
    return median(ratios) or 0.0, min(ratios), max(ratios)
