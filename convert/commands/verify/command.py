"""`python -m convert verify`: print a line per check, and whether the artifact passes."""

import argparse
import json
import sys

from convert.commands.verify import Report, verify_artifact
from runtime.artifact.signature import parse_public_keys
from runtime.engine.allocator import MOST_FREE_HEAP_BYTES, keep_free_heap, tune_allocator
from runtime.errors import SlipwayError
from runtime.model import version_directory


def verify(options: argparse.Namespace) -> int:
    """Verify one artifact again and print the checks; return exit code 1 if one failed."""
    tune_allocator()  # as a server with memory enough, for the speed
    keep_free_heap(MOST_FREE_HEAP_BYTES)
    try:
        report = verify_artifact(
            version_directory(options.artifact),
            options.media,
            signers=parse_public_keys(options.trusted_keys),
        )
    except SlipwayError as error:
        print(f"convert: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report.to_json()) if options.json else _to_text(report))
    for failure in report.failures:
        print(f"convert: {report.artifact}: {failure}", file=sys.stderr)
    return 1 if report.failures else 0


def _to_text(report: Report) -> str:
    failed = len(report.failures)
    summary = f"{failed} of {len(report.checks)} failed" if failed else "passed"
    return "\n".join([*map(str, report.checks), "", f"{report.artifact}: {summary}"])
