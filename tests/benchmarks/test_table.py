import dataclasses

import pytest

from benchmarks.table import milliseconds, render
from tests.benchmarks.support.reports import QUANTIZED, SERVER, report


@pytest.mark.parametrize(
    ("value", "text"), [(0.444, "0.44"), (9.994, "9.99"), (12.34, "12.3"), (251.6, "252")]
)
def test_three_significant_digits(value: float, text: str) -> None:
    assert milliseconds(value) == text


def test_rows_hold_the_figures() -> None:
    rows = [line.split() for line in render(report()).splitlines()]
    int8 = next(row for row in rows if row[:1] == ["background_u2netp/1"])
    assert int8[1:5] == ["seeded", "int8*", "2.00", "40"]
    assert int8[5:9] == ["100", "/", "100", "2.50"]  # one thread
    assert int8[9:13] == ["50.0", "/", "100", "2.50"]  # two
    assert int8[13:] == ["120", "/", "130", "25.0"]
    reference = next(row for row in rows if row[:1] == ["float"])
    assert reference[1:7] == ["2.00", "40", "250", "/", "250", "1.00"]


def test_limits_are_stated_with_their_verdict() -> None:
    text = render(report(server=dataclasses.replace(SERVER, ready_s=3.0)))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "server ready after 3.00 s <= 2.00 s FAIL" in lines
    assert "VmRSS, every model used 200 MB <= 260 MB pass" in lines


def test_a_missing_measurement_is_a_dash() -> None:
    variants = tuple(dataclasses.replace(v, timings=v.timings[:1]) for v in QUANTIZED.variants)
    text = render(report(dataclasses.replace(QUANTIZED, variants=variants)))
    row = next(line for line in text.splitlines() if line.startswith("background_u2netp"))
    assert row.split()[9:11] == ["-", "-"]


def test_a_busy_machine_and_a_quick_run_are_noted() -> None:
    calm = report()
    machine = dataclasses.replace(calm.machine, load_average=3.0)
    noisy = render(dataclasses.replace(calm, machine=machine, quick=True))
    assert "BUSY" in noisy
    assert noisy.endswith("not figures to quote")
    assert "BUSY" not in render(calm)
