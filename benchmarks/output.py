"""The options and files that every benchmark has."""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError

LATEST = Path("benchmarks/latest")  # not in git; the committed report is in benchmarks/report


def check_writable(*paths: Path | None) -> None:
    """Check before a measurement that the folders of its files exist.

    Raises:
        BenchmarkError: one does not.
    """
    for path in paths:
        if path is not None and not path.parent.is_dir():
            raise BenchmarkError(f"{path} cannot be written: {path.parent} is not a directory")


def write_json(path: Path, value: Any) -> None:
    """Write plain values as JSON, one to a line; NaN is refused."""
    text = json.dumps(value, indent=1, allow_nan=False)
    path.write_text(f"{text}\n", encoding="utf-8")


def add_options(parser: argparse.ArgumentParser, *, quick: str) -> None:
    """Add `--artifacts`, `--json` and `--quick` to a command that prints a table.

    Args:
        parser: of the command.
        quick: the help of `--quick`.
    """
    add_artifacts(parser, quick=quick)
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every figure as JSON")


def add_report_options(parser: argparse.ArgumentParser, *, quick: str) -> None:
    """Add `--artifacts`, `--quick` and `--report` to a command that measures part of a report.

    Args:
        parser: of the command.
        quick: the help of `--quick`.
    """
    add_artifacts(parser, quick=quick)
    parser.add_argument(
        "--report",
        metavar="DIR",
        type=Path,
        default=LATEST,
        help="folder of report.json, report.md, report.html and latency.svg (default: %(default)s)",
    )


def add_artifacts(parser: argparse.ArgumentParser, *, quick: str) -> None:
    """Add `--artifacts` and `--quick`."""
    parser.add_argument(
        "--artifacts",
        metavar="DIR",
        type=Path,
        default=Path("artifacts"),
        help="artifacts to measure (default: %(default)s)",
    )
    parser.add_argument("--quick", action="store_true", help=quick)
