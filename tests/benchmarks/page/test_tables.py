"""Markdown from a report with round numbers: each section's figures and warnings."""

import pytest

from benchmarks.page.markdown import render
from benchmarks.page.metrics import cell
from benchmarks.page.model import three_digits
from tests.benchmarks.support.reports import CONDITIONS, MODEL, original, report


def rows(text: str, first: str) -> list[list[str]]:
    """Return the cells of the rows whose first cell is `first`."""
    lines = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line] for line in lines]
    return [row for row in cells if row[0] == first]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.444, "0.44"), (9.994, "9.99"), (12.34, "12.3"), (251.6, "252"), (0.00123, "0.0012"),
     (0.0, "0.00"), (None, "-")],
)  # fmt: skip
def test_three_significant_digits(value: float | None, text: str) -> None:
    assert three_digits(value) == text


def test_latencies_and_limits_of_the_suite() -> None:
    text = render(report())
    int8, *_ = rows(text, f"{MODEL} INT8*")
    assert int8[1:] == [
        "seeded", "100 (90.0 to 110; 150)", "2.50", "50.0 (45.0 to 55.0; 75.0)", "2.50",
        "120 (108 to 132; 180)", "25.0",
    ]  # fmt: skip
    assert rows(text, "server ready after") == [["server ready after", "3.00 s", "2 s", "FAIL"]]
    assert rows(text, MODEL)[0][:5] == [
        MODEL,
        "1",
        "90.0 (80.0 to 95.0)",
        "100 (80.0 to 95.0)",
        "0.90",
    ]
    assert rows(text, "3 models, each asked")[0][1:] == ["149", "159", "189", "209"]
    assert f"| {MODEL} | 8.00 | 2.00 | 25% |" in text


def test_a_missing_measurement_is_a_dash() -> None:
    content = report()
    for variant in content["suite"]["models"][0]["variants"]:
        variant["timings"] = variant["timings"][:1]
    assert rows(render(content), f"{MODEL} INT8*")[0][4:6] == ["-", "-"]
    assert rows(render(content), f"{MODEL} INT8")[0][-1] == "iou_mean 0.9900"  # mae has no value


def test_the_cost_follows_from_cpu_time_and_memory() -> None:
    (row,) = [row for row in rows(render(report()), MODEL) if len(row) == 6 and row[2] == "150"]
    # 20 ms: 10^6 x 0.020 / 3600 / 0.6 = 9.26 hours, of 0.15 GB / 2; each 0.04, and 0.004 a GB
    assert row == [MODEL, "20.0", "150", "9.26", "0.69", "0.37"]
    assert "CPU hours x your price of a CPU hour + GB hours x your price of a GB hour" in render(
        report()
    )


def test_originals_peers_scaling_and_limits_have_their_figures() -> None:
    text = render(report())
    torch, compiled, _ = (row for row in rows(text, MODEL) if row[1].endswith(" 2.0"))
    assert torch[1:6] == ["torch 2.0", "1", "300", "450", "3.00"]
    assert compiled[3:] == ["-", "-", "-", "-", "1.00", "-", "-", "1.0000", "no compiler"]
    assert "installed with all that it needs: torch 800 mb" in text.lower()
    other = next(row for row in rows(text, MODEL) if row[1] == "Other 1.2")
    assert other[3] == "95.0 (90.0 to 100)"
    assert other[11] == "yes: cosine 1.0000"
    assert next(row for row in rows(text, MODEL) if row[1] == "Third 1.2")[11] == "not installed"
    assert "- Other is faster with 8 clients." in text
    engine = next(row for row in rows(text, MODEL) if row[1].startswith("OpenVINO"))
    assert engine[3:9] == ["90.0", "1.11", "iou_mean 0.6400", "0.7000", "2.00", "90.0"]
    assert rows(text, "server, p50 ms") == [
        ["server, p50 ms", "clients", "1: 3, 2: 5, 4: 9", "2 ± 0.1"]
    ]
    assert rows(text, "graph, runs/s")[0][3] == "-"
    assert rows(text, "u2netp")[-1][1:5] == ["512", "0.5", "1", "served"]


def test_an_original_is_compared_with_the_packaged_graph_of_its_own_turns() -> None:
    content = report()
    content["originals"]["rows"] = [
        original("torch", median_ms=300.0), original("slipway", median_ms=100.0),
        original("torch.compile", median_ms=300.0), original("slipway", median_ms=150.0),
        {**original("torch", median_ms=300.0), "threads": 2},
    ]  # fmt: skip
    table = [row for row in rows(render(content), MODEL) if len(row) == 12]
    assert [row[5] for row in table] == ["3.00", "1.00", "2.00", "1.00", "-"]


def test_a_peer_is_faster_by_its_verdict_and_each_server_has_its_shares() -> None:
    text = render(report())
    assert ["u2netp", "8", "Other", "1.05 (1.01 to 1.10): FASTER"] in rows(text, "u2netp")
    assert ["u2netp", "8", "slipway", "0.90 (0.80 to 0.95)", "-"] in rows(text, "u2netp")
    content = report()
    bare = {**content["peers"]["servers"][0], "peer": "Bare HTTP, 2 threads"}
    content["peers"]["servers"].append({**bare, "cpu_seconds_per_request": 0.0175})
    row = next(row for row in rows(render(content), "u2netp") if row[2] == "slipway")
    assert row[-1] == "2.50"  # of 20 ms
    del content["peers"]["verdicts"], content["peers"]["shares"]  # of an earlier release
    assert "Peers against" not in render(content)


def test_a_cell_has_three_metrics_of_the_task_at_most() -> None:
    boxes = {"box_recall": None, "score_shift": 0.1, "sure_recall_lower": 0.9, "sure_recall": 0.97,
             "sure_precision": 0.96, "sure_iou_mean": 0.95, "score_correlation": 0.9}  # fmt: skip
    assert cell(boxes) == "sure_recall 0.9700, sure_precision 0.9600, sure_iou_mean 0.9500"
    assert cell({"box_recall": None}) == "nothing to compare"


def test_sections_that_were_not_measured_are_left_out() -> None:
    full = report()
    text = render({"schema_version": 1, "limits": full["limits"]})
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## Under real limits"
    ]


def test_a_busy_machine_and_a_quick_run_are_noted_in_their_part() -> None:
    content = report()
    assert "BUSY" not in render(content)
    content["peers"]["conditions"] = {**CONDITIONS, "busy": True, "quick": True}
    suite_part, _, rest = render(content).partition("## Peers")
    assert "BUSY" not in suite_part
    assert "BUSY" in rest
    assert "not figures to quote" in rest


def test_a_cell_of_several_lines_stays_in_its_row() -> None:
    content = report()
    content["limits"]["rows"][0]["detail"] = "the server ended:\n  no | memory"
    assert "| the server ended: no / memory |" in render(content)
