"""`python -m benchmarks`: measure the artifacts, and write the report with tables and plots."""

import argparse
import sys
from collections.abc import Sequence

from benchmarks.output import add_report_options
from benchmarks.page.files import write_files
from benchmarks.page.markdown import render
from benchmarks.schema.document import write_section
from benchmarks.suite.measure import FULL, QUICK, measure
from runtime.engine.allocator import MOST_FREE_HEAP_BYTES, keep_free_heap, tune_allocator
from runtime.errors import SlipwayError


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report.

    Returns:
        The exit code: 1 if a measurement failed or, with --check, a limit is exceeded; else 0.
    """
    options = _parser().parse_args(arguments)
    tune_allocator()  # as a server with memory enough
    keep_free_heap(MOST_FREE_HEAP_BYTES)
    try:
        suite = measure(options.artifacts, QUICK if options.quick else FULL)
        report = write_section(options.report, "suite", suite)
        write_files(options.report)
    except (SlipwayError, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    print(render({name: report[name] for name in ("schema_version", "suite")}))
    return 1 if options.check and not all(check.passed for check in suite.checks) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure latency, throughput, memory, start-up, size and fidelity of the "
        "artifacts, up to ten minutes; writes JSON, Markdown and a page with plots.",
    )
    add_report_options(parser, quick="measure few runs, to try it out: not figures to quote")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a limit is exceeded")
    return parser


if __name__ == "__main__":
    sys.exit(main())
