"""`python -m benchmarks.serving`: what the server costs over a bare loop, as a table."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.output import add_options, check_writable, write_json
from benchmarks.serving.batching import Gain, Turn, compare_batching
from benchmarks.serving.compare import Comparison, compare
from benchmarks.serving.load import Load
from runtime.artifact.schema import to_json
from runtime.engine.resources import cpu_count
from runtime.errors import SlipwayError

BATCHING_HEADINGS = (
    *("model", "clients", "alone/s", "batches/s", "ratio", "CPU ratio", "rows a run"),
    *("p50 / p99 ms alone", "p50 / p99 ms in batches"),
)
HEADINGS = (
    "model",
    "workers",
    "clients",
    "bare/s",
    "server/s",
    "ratio",
    "p50 ms",
    "p99 ms",
    "extra CPU ms",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report.

    Returns:
        The exit code: 1 if a measurement failed, else 0.
    """
    options = _parser().parse_args(arguments)
    try:
        check_writable(options.json)
        if options.batching:
            return _report_batching(options)
        comparisons = compare(
            options.artifacts,
            options.model,
            options.file,
            workers=options.workers,
            clients=options.clients,
            threads=cpu_count(),
            rounds=1 if options.quick else options.rounds,
            seconds=1.0 if options.quick else options.seconds,
            protocol=options.protocol,
        )
    except SlipwayError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    print(render(comparisons))
    if options.json:
        write_json(options.json, [to_json(comparison) for comparison in comparisons])
    return 0


def _report_batching(options: argparse.Namespace) -> int:
    gains = compare_batching(
        options.artifacts,
        options.model,
        options.file,
        clients=options.clients,
        rounds=1 if options.quick else options.rounds,
        seconds=1.0 if options.quick else options.seconds,
        protocol=options.protocol,
    )
    print(render_gains(gains))
    if options.json:
        write_json(options.json, [to_json(gain) for gain in gains])
    return 0


def render_gains(gains: Sequence[Gain]) -> str:
    """Return a Markdown table: one row per number of clients, medians over the rounds."""
    lines = [
        f"| {' | '.join(BATCHING_HEADINGS)} |",
        "|---|" + "---:|" * (len(BATCHING_HEADINGS) - 1),
    ]
    for gain in gains:
        alone, joined = (_middle(turns) for turns in (gain.alone, gain.joined))
        cells = (
            gain.model,
            str(gain.clients),
            f"{alone.per_s:.1f}",
            f"{joined.per_s:.1f}",
            f"{gain.throughput_ratio:.3f}",
            f"{gain.cpu_ratio:.3f}",
            f"{gain.rows_per_run:.1f}",
            f"{alone.p50_ms:.1f} / {alone.p99_ms:.1f}",
            f"{joined.p50_ms:.1f} / {joined.p99_ms:.1f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _middle(turns: Sequence[Turn]) -> Load:
    """Return the load of the turn with the median throughput."""
    loads = sorted((turn.load for turn in turns), key=lambda load: load.per_s)
    return loads[len(loads) // 2]


def render(comparisons: Sequence[Comparison]) -> str:
    """Return a Markdown table: one row per number of clients, medians over the rounds."""
    lines = [f"| {' | '.join(HEADINGS)} |", "|---|" + "---:|" * (len(HEADINGS) - 1)]
    for one in comparisons:
        rounds = sorted(one.rounds, key=lambda item: item.throughput_ratio)
        middle = rounds[len(rounds) // 2]
        cells = (
            one.model,
            str(one.workers),
            str(one.clients),
            f"{middle.bare.per_s:.1f}",
            f"{middle.load.per_s:.1f}",
            f"{one.throughput_ratio:.3f}",
            f"{middle.load.p50_ms:.1f}",
            f"{middle.load.p99_ms:.1f}",
            f"{one.extra_cpu_ms:.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving",
        description="Compare the server with a loop that decodes, preprocesses and runs one file.",
    )
    add_options(parser, quick="one round of a second, to try it out: not figures to quote")
    add = parser.add_argument
    add("model", metavar="MODEL", help="id of the model")
    add("file", metavar="FILE", type=Path, help="the file that every request sends")
    add("--workers", type=int, default=1, help="processes of the server (default: %(default)s)")
    add("--clients", type=int, nargs="+", default=[1, 8, 32], help="clients at once (1 8 32)")
    add("--rounds", type=int, default=5, help="turns of loop and server (default: %(default)s)")
    add("--seconds", type=float, default=5.0, help="of each turn (default: %(default)s)")
    add(
        "--batching",
        action="store_true",
        help="compare the server with itself without batches, in place of the loop",
    )
    add(
        "--protocol",
        choices=("v1", "v2"),
        default="v1",
        help="v2: a raw request of the Open Inference Protocol, with binary outputs",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
