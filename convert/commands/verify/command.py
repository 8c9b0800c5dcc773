"""`python -m convert verify`: what was found, a line each, and whether it passes."""

import argparse
import json
import sys

from convert.commands.verify import Report, recheck
from runtime.errors import SlipwayError
from runtime.model import version_directory


def verify(options: argparse.Namespace) -> int:
    """Verify one artifact again; exit code 1 with the reasons where it does not pass."""
    try:
        report = recheck(version_directory(options.artifact), options.media)
    except SlipwayError as error:
        print(f"convert: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report.to_json()) if options.json else _table(report))
    for reason in report.reasons:
        print(f"convert: {report.artifact}: {reason}", file=sys.stderr)
    return 1 if report.reasons else 0


def _table(report: Report) -> str:
    failed = len(report.reasons)
    closing = f"{failed} of {len(report.checks)} failed" if failed else "passed"
    return "\n".join([*map(str, report.checks), "", f"{report.artifact}: {closing}"])
