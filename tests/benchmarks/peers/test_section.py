"""Rows follow the schema, and one without a right answer has no figure."""

import dataclasses
from pathlib import Path

import pytest

from benchmarks.peers.engines.measure import error_row
from benchmarks.peers.engines.rows import EngineRow, summarize
from benchmarks.peers.environments import Environment
from benchmarks.peers.measure import Loaded, Turns
from benchmarks.peers.section import Peers, ServerRow, bare_row, server_rows
from benchmarks.peers.table import Peer, peers
from benchmarks.peers.verdicts import Share, Verdict
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
    assert one.requests_per_second_turns == [100, 300, 200]
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
    assert one.requests_per_second_turns == ()


def test_the_row_of_the_bare_loop_has_medians() -> None:
    bare = bare_row("m", 2, [Work(100, 1.0, 1.0), Work(200, 1.0, 1.0)])
    assert (bare.requests_per_second, bare.cpu_seconds_per_request) == (150, 0.0075)


def engine() -> EngineRow:
    failed = error_row("m", "OpenVINO", PLACE, "int8", "refused")
    return dataclasses.replace(failed, error=None, latency=summarize([1.0, 2.0, 9.0]))


def test_the_section_follows_the_schema(tmp_path: Path) -> None:
    (failed,) = server_rows(THEIRS, None, Turns(error="not installed"), [8])
    works = [Work(100, 1.0, 1.0)]
    engines = (engine(), error_row("m", "OpenVINO", None, "int8", "refused"))
    servers = (row(OURS, 1, 2), failed)
    verdict = Verdict("m", 8, "Lit", "Slipway", 3, 0.5, 0.4, 0.6, "slower")
    share = Share("m", 8, "Lit", "bare loop", 0.5, 0.4, 0.6)
    bare = (bare_row("m", 2, works),)
    notes = ("a note",)
    section = Peers(begin().end(), bare, servers, (verdict,), (share,), engines, notes)
    report = write_section(tmp_path, "peers", section)
    validator().validate(report)
    assert report["peers"]["engines"][0]["latency"]["median_ms"] == 2.0
