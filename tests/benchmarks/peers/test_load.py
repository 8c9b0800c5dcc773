"""The load of wrk is read from its script's line, and failed requests are errors."""

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.peers.load import read_wrk

LINE = '{"requests": %d, "micros": 2000000, "errors": %d, "p50": 4000, "p95": 6000, "p99": 8000}'


def test_the_line_of_the_script_becomes_a_load() -> None:
    load = read_wrk(f"Running 2s test\n\n{LINE % (100, 0)}\n", "")
    assert (load.requests, load.wall_s, load.per_s) == (100, 2.0, 50.0)
    assert (load.p50_ms, load.p95_ms, load.p99_ms) == (4.0, 6.0, 8.0)


@pytest.mark.parametrize("output", ["unable to connect", "", LINE % (100, 1), LINE % (0, 0)])
def test_a_load_with_failed_requests_or_none_is_an_error(output: str) -> None:
    with pytest.raises(BenchmarkError):
        read_wrk(output, "message")
