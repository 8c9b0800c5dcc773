"""Verdicts compare round by round, and leave out a server that failed."""

import pytest

from benchmarks.peers.measure import Loaded, Turns
from benchmarks.peers.table import MOBILENET, Peer, peers
from benchmarks.peers.verdicts import Verdict, judge, sentences, shares, verdicts
from benchmarks.serving.bare_loop import Work
from benchmarks.serving.load import Load

TABLE = [peer for peer in peers(2) if peer.model == MOBILENET]


def turns(*rates: float, error: str = "") -> Turns:
    loads = [Loaded(Load(int(10 * rate), 10.0, 1.0, 2.0, 3.0), 0.005, 80.0) for rate in rates]
    return Turns([1.0], [1.0], {8: loads}, error)


def chosen(*names: str) -> list[Peer]:
    return [peer for peer in TABLE if peer.name in names]


@pytest.mark.parametrize(
    ("ratios", "outcome"),
    [
        ((1.01, 1.2, 1.5), "faster"),
        ((0.5, 0.99, 0.9), "slower"),
        ((0.99, 1.5, 1.5), "within the spread"),
        ((1.0, 1.1, 1.1), "within the spread"),
        ((2.0, 2.0), "too few rounds"),
        ((), "too few rounds"),
    ],
)
def test_a_peer_is_faster_only_if_it_is_in_every_round(
    ratios: tuple[float, ...], outcome: str
) -> None:
    assert judge(ratios) == outcome


def test_rounds_are_compared_one_by_one_whatever_the_drift() -> None:
    # the machine became twice as slow: the spreads overlap, and yet the peer always won
    measured = {"Slipway, 2 workers": turns(200, 150, 100), "LitServe": turns(220, 160, 110)}
    (one,) = verdicts(chosen(*measured), measured, [8])
    assert (one.peer, one.own, one.rounds) == ("LitServe", "Slipway, 2 workers", 3)
    assert one.verdict == "faster"
    assert one.ratio == one.ratio_maximum == pytest.approx(1.1)
    assert one.ratio_minimum == pytest.approx(160 / 150)


def test_every_server_of_ours_is_compared_and_no_limit_is_a_peer() -> None:
    names = ("Slipway, 1 worker", "Slipway, 2 workers", "Bare HTTP, 2 threads", "LitServe")
    measured = {name: turns(100, 100, 100) for name in names}
    results = list(verdicts(chosen(*names), measured, [8]))
    assert [(one.peer, one.own) for one in results] == [("LitServe", own) for own in names[:2]]


def test_a_server_that_failed_is_in_no_verdict_and_no_share() -> None:
    measured = {"Slipway, 2 workers": turns(1, 1, 1), "LitServe": turns(900, error="wrong")}
    assert list(verdicts(chosen(*measured), measured, [8])) == []
    works = [Work(100, 1.0, 1.0)] * 3
    assert {one.peer for one in shares(chosen(*measured), measured, works, [8])} == {
        "Slipway, 2 workers"
    }


def test_shares_are_of_the_bare_loop_and_of_bare_http() -> None:
    measured = {"Slipway, 2 workers": turns(90, 160), "Bare HTTP, 2 threads": turns(100, 200)}
    works = [Work(100, 1.0, 1.0), Work(400, 1.0, 1.0)]
    loop, http = shares(chosen(*measured), measured, works, [8])
    assert (loop.limit, loop.peer) == ("bare loop", "Slipway, 2 workers")
    assert loop.share == pytest.approx(0.65)
    assert (loop.share_minimum, loop.share_maximum) == (0.4, 0.9)
    assert http.limit == "Bare HTTP, 2 threads"
    assert (http.share_minimum, http.share_maximum) == (0.8, 0.9)


def verdict(peer: str, outcome: str, ratio: float, own: str = "Slipway, 2 workers") -> Verdict:
    return Verdict("m", 8, peer, own, 5, ratio, ratio - 0.1, ratio + 0.1, outcome)  # type: ignore[arg-type]


def test_the_sentences_say_who_is_faster_or_the_best_of_the_others() -> None:
    slower = verdict("Lit", "slower", 0.8)
    near = verdict("Fast", "within the spread", 1.05)
    other = verdict("Fast", "faster", 2.0, own="Slipway, 1 worker")
    assert list(sentences([slower, near, other], "Slipway, 2 workers")) == [
        "m, 8 clients: no peer is faster than Slipway, 2 workers in every round; the best: Fast "
        "with 1.05 of its answers (0.95 to 1.15)."
    ]
    ahead = verdict("Fast", "faster", 1.2)
    assert list(sentences([slower, ahead], "Slipway, 2 workers")) == [
        "m, 8 clients: FASTER than Slipway, 2 workers in every round: Fast with 1.20 of its "
        "answers (1.10 to 1.30)."
    ]
    few = verdict("Fast", "too few rounds", 9.0)
    assert list(sentences([few], "Slipway, 2 workers")) == [
        "m, 8 clients: 5 rounds; a verdict takes 3."
    ]
