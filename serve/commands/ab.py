"""`python -m serve ab`: compare the default version of each model with its candidate."""

import argparse
import json
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from serve.routing.comparison import (
    ALPHA,
    MINIMUM,
    compare,
    most_agreement,
    quantile_ms,
)
from serve.routing.counts import VersionCounts

URL = "http://127.0.0.1:8000"
TIMEOUT_S = 10.0
MOST_BYTES = 2**24  # of an answer


def main(arguments: Sequence[str]) -> int:
    """Print the comparison of each model that has a candidate.

    Returns:
        0, whatever the verdicts; 1 if the server does not answer, or no model has a candidate.
    """
    options = _parser().parse_args(arguments)
    try:
        content = _fetch(options.url.rstrip("/") + "/v1/ab")
        reports = [
            report_of(name, entry, minimum=options.minimum, alpha=options.alpha)
            for name, entry in content["models"].items()
            if entry["candidate"] is not None
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"ab: {options.url} does not answer as expected: {error}", file=sys.stderr)
        return 1
    if not reports:
        print("ab: no model has a candidate", file=sys.stderr)
        return 1
    for report in reports:
        print(json.dumps(report) if options.json else text_of(report))
    return 0


def report_of(
    model_id: str, entry: Mapping[str, Any], *, minimum: int, alpha: float
) -> dict[str, Any]:
    """Return the comparison of the versions of one model.

    Args:
        model_id: the model.
        entry: of the model, in the answer of GET /v1/ab.
        minimum: cases of each version for a verdict.
        alpha: the chance of any verdict between equal versions.

    Raises:
        KeyError, TypeError: the entry has other fields.
    """
    default, candidate = (
        _counts(entry["versions"].get(str(entry[name]))) for name in ("default", "candidate")
    )
    return {
        "model": model_id,
        "default": entry["default"],
        "candidate": entry["candidate"],
        "share": entry["share"],
        "answers": [default.answers, candidate.answers],
        "p50_ms": [quantile_ms(one.bins, 0.5) for one in (default, candidate)],
        "p95_ms": [quantile_ms(one.bins, 0.95) for one in (default, candidate)],
        "agreement_at_most": most_agreement(default.labels, candidate.labels),
        "minimum": minimum,
        "comparisons": [
            asdict(one) for one in compare(default, candidate, minimum=minimum, alpha=alpha)
        ],
    }


def _counts(content: Mapping[str, Any] | None) -> VersionCounts:
    """Return the counts of a version; zero if it has answered nothing yet."""
    if content is None:
        return VersionCounts()
    return VersionCounts(**{field.name: content[field.name] for field in fields(VersionCounts)})


def text_of(report: Mapping[str, Any]) -> str:
    """Return a report as lines for people."""
    lines = [
        f"{report['model']}: version {report['default']} and candidate {report['candidate']}, "
        f"which has {report['share']:.4%}",
        f"  {'answers':10} {report['answers'][0]:>16} {report['answers'][1]:>16}",
    ]
    for name in ("p50_ms", "p95_ms"):
        one, other = (f"below {ms:.3g}" if ms else "-" for ms in report[name])
        lines.append(f"  {name:10} {one:>16} {other:>16}")
    for entry in report["comparisons"]:
        shares = [entry["default"], entry["candidate"]]
        one, other = (f"{share['part']}/{share['total']}" for share in shares)
        p_value = entry["p_value"]
        why = f"p = {p_value:.2g}" if p_value is not None else "too few cases"
        lines.append(f"  {entry['name']:10} {one:>16} {other:>16}  {entry['verdict']} ({why})")
    if report["agreement_at_most"] is not None:
        share = report["agreement_at_most"]
        lines.append(f"  the top classes agree in at most {share:.1%} of the answers")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serve ab", description=__doc__)
    parser.add_argument(
        "url",
        nargs="?",
        default=URL,
        help=f"of the server, with its base path (default: {URL})",
    )
    parser.add_argument(
        "--minimum", type=int, default=MINIMUM, help=f"cases of each version (default: {MINIMUM})"
    )
    parser.add_argument(
        "--alpha", type=float, default=ALPHA, help=f"chance of a wrong verdict (default: {ALPHA})"
    )
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each model")
    return parser


def _fetch(url: str) -> Any:
    request = urllib.request.Request(url, headers={"Accept": "application/json"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        return json.loads(answer.read(MOST_BYTES))
