"""`python -m benchmarks.page`: write the report's tables and plots anew from its JSON."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.output import LATEST
from benchmarks.page.files import write_files
from runtime.errors import SlipwayError


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files; return 1 if the report cannot be read, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.page",
        description="Write report.md, report.html and latency.svg from report.json.",
    )
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=LATEST,
        metavar="DIR",
        help="folder of report.json (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    try:
        write_files(options.folder)
    except (SlipwayError, OSError) as error:
        print(f"benchmarks.page: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
