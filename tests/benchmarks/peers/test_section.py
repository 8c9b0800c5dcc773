"""Rows follow the schema, one without a right answer has no figure, notes say who wins."""

import dataclasses
from pathlib import Path

import pytest

from benchmarks.peers.engines.measure import error_row
from benchmarks.peers.engines.rows import EngineRow, summarize
from benchmarks.peers.environments import Environment
from benchmarks.peers.measure import Loaded, Turns
from benchmarks.peers.section import Peers, ServerRow, bare_row, server_rows, shares, winners
from benchmarks.peers.table import MOBILENET, Peer, peers
from benchmarks.schema.conditions import begin
from benchmarks.schema.document import write_section
from benchmarks.serving.bare_loop import Work
from benchmarks.serving.load import Load
from tests.benchmarks.support.reports import validator

OURS, THEIRS = (
    next(peer for peer in peers(2) if peer.name.startswith(name)) for name in ("Slipway", "Lit")
)
PLACE = Environment(Path("python"), {"litserve": "1.2.3", "slipway": "9"}, 123.0)


def turns(*rates: float, error: str = "") -> Turns:
    loads = [Loaded(Load(int(10 * rate), 10.0, 1.0, 2.0, 3.0), 0.005, 80.0) for rate in rates]
    return Turns([1.0, 3.0, 2.0], [0.99999, 1.0], {8: loads}, error)


def row(peer: Peer, *rates: float) -> ServerRow:
    (one,) = server_rows(peer, PLACE, turns(*rates), [8])
    return one


def test_a_row_has_medians_and_the_spread() -> None:
    one = row(THEIRS, 100, 300, 200)
    assert one.version == "1.2.3"
    assert one.requests_per_second == 200
    assert (one.requests_per_second_minimum, one.requests_per_second_maximum) == (100, 300)
    assert (one.turns, one.cold_start_seconds, one.installed_mb) == (3, 2.0, 123.0)
    assert one.verified
    assert "1.0000" in one.answer
    assert one.error is None


@pytest.mark.parametrize("measured", [turns(100, error="a wrong answer"), turns(), Turns()])
def test_a_server_that_failed_once_has_no_figures(measured: Turns) -> None:
    (one,) = server_rows(THEIRS, PLACE, measured, [8])
    assert not one.verified
    assert one.error
    fields = ("requests_per_second", "p50_ms", "p99_ms", "cpu_seconds_per_request", "memory_mb")
    assert [getattr(one, name) for name in fields] == [None] * len(fields)
    assert one.cold_start_seconds is None
    assert one.answer == ""


def test_a_peer_is_faster_only_beyond_the_spread() -> None:
    (within,) = winners([row(OURS, 100, 110, 120), row(THEIRS, 115, 130, 140)])
    assert "no peer is faster than Slipway, 1 worker (110/s) beyond the spread" in within
    assert "the next is LitServe (130/s)" in within
    (beyond,) = winners([row(OURS, 100, 110, 120), row(THEIRS, 121, 130, 140)])
    assert beyond == (
        f"{MOBILENET}, 8 clients: faster than Slipway, 1 worker (110/s): LitServe (130/s)."
    )


def test_a_peer_without_figures_wins_nothing_and_is_no_next() -> None:
    (failed,) = server_rows(THEIRS, PLACE, turns(900, error="wrong"), [8])
    assert list(winners([row(OURS, 100), failed])) == []


def test_the_share_of_the_bare_loop_is_that_of_each_round() -> None:
    works = [Work(100, 1.0, 1.0), Work(200, 1.0, 1.0)]
    text = shares("Slipway", 8, turns(95, 180), works)
    assert text == "Slipway, 8 clients: 0.93 of the bare loop's answers (0.90 to 0.95)."
    assert "not measured" in shares("Slipway", 1, turns(95), works)
    bare = bare_row("m", 2, works)
    assert (bare.requests_per_second, bare.cpu_seconds_per_request) == (150, 0.0075)


def engine() -> EngineRow:
    failed = error_row("m", "OpenVINO", PLACE, "int8", "refused")
    return dataclasses.replace(failed, error=None, latency=summarize([1.0, 2.0, 9.0]))


def test_the_section_follows_the_schema(tmp_path: Path) -> None:
    (failed,) = server_rows(THEIRS, None, Turns(error="not installed"), [8])
    works = [Work(100, 1.0, 1.0)]
    engines = (engine(), error_row("m", "OpenVINO", None, "int8", "refused"))
    servers = (row(OURS, 1, 2), failed)
    section = Peers(begin().end(), (bare_row("m", 2, works),), servers, engines, ("a note",))
    report = write_section(tmp_path, "peers", section)
    validator().validate(report)
    assert report["peers"]["engines"][0]["latency"]["median_ms"] == 2.0
