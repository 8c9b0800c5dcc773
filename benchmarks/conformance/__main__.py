"""`python -m benchmarks.conformance URL`: the points of the Open Inference Protocol as lines."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

from benchmarks.conformance.http_client import server_at
from benchmarks.conformance.subject import Subject, discover
from benchmarks.conformance.table import judge


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a server and print the report.

    Returns:
        The exit code: 0 if every point passes, else 1.
    """
    options = _parser().parse_args(arguments)
    server = server_at(options.url, dict(field.split(": ", 1) for field in options.header))
    key = {"Authorization": f"Bearer {options.admin_key}"} if options.admin_key else {}
    subject = Subject(server, tuple(discover(server, options.model)), key, bool(server.base))
    print(f"models: {', '.join(model.name for model in subject.models) or 'none'}")
    verdicts: Counter[str] = Counter()
    for row in judge(subject):
        print(row, flush=True)
        verdicts[row.verdict] += 1
    print(", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common()))
    return 0 if set(verdicts) == {"pass"} else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.conformance",
        description="Check a server of the Open Inference Protocol, version 2 (REST).",
    )
    add = parser.add_argument
    add("url", metavar="URL", help="base URL, as http://127.0.0.1:8000 or http://host/base")
    add(
        "--model",
        action="append",
        default=[],
        metavar="NAME",
        help="a model to use, may repeat; default: all of the repository index",
    )
    add("--admin-key", metavar="KEY", help="allows to unload a model for a moment (Bearer)")
    add(
        "--header",
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="a header of every request, may repeat",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
