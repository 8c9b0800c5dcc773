"""`python -m benchmarks`: measure the artifacts, print a table, write JSON and an SVG picture."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.output import add_options, check_writable, write_json
from benchmarks.picture import draw
from benchmarks.report import Report, measure
from benchmarks.table import render
from benchmarks.timing import FULL, QUICK
from runtime.artifact.schema import to_json
from runtime.engine.allocator import tune_allocator
from runtime.errors import SlipwayError


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report.

    Returns:
        The exit code: 1 if a measurement failed or, with --check, a limit is exceeded; else 0.
    """
    options = _parser().parse_args(arguments)
    tune_allocator()  # as the server does
    try:
        check_writable(options.json, options.svg)
        effort = QUICK if options.quick else FULL
        report = measure(options.artifacts, effort, quick=options.quick)
    except SlipwayError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    print(render(report))
    if options.json:
        write_json(options.json, report_json(report))
    if options.svg:
        options.svg.write_text(draw(report), encoding="utf-8")
    return 1 if options.check and not all(check.passed for check in report.checks) else 0


def report_json(report: Report) -> dict[str, Any]:
    """Return the report with its checks as plain values."""
    checks = [{**to_json(check), "passed": check.passed} for check in report.checks]
    return {**to_json(report), "checks": checks}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure footprint, memory and latency of the artifacts, about two minutes.",
    )
    add_options(parser, quick="measure few runs, to try it out: not figures to quote")
    parser.add_argument("--svg", metavar="FILE", type=Path, help="draw the latencies as SVG")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a limit is exceeded")
    return parser


if __name__ == "__main__":
    sys.exit(main())
