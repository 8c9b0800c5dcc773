"""Measure the memory of the server by state, as tables in Markdown.

python -m benchmarks.memory --artifacts artifacts
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.machine import Machine, describe_machine, machine_lines
from benchmarks.memory.evictions import Eviction, measure_evictions
from benchmarks.memory.states import measure_alone, measure_set, sets
from benchmarks.memory.watch import State
from benchmarks.output import add_options, check_writable, write_json
from benchmarks.server import Media
from runtime.artifact.golden import read_golden
from runtime.artifact.manifest import newest_versions, read_manifest
from runtime.artifact.schema import to_json
from runtime.errors import SlipwayError

LOAD_S, QUICK_LOAD_S = 10.0, 0.5


@dataclass(frozen=True, slots=True)
class Report:
    """The states in the order of the measurement, and the evictions."""

    machine: Machine
    states: tuple[State, ...]
    evictions: tuple[Eviction, ...]


def measure(artifacts: Path, *, quick: bool, memory_mib: int = 0) -> Report:
    """Measure a server without models, with each alone, with sets of them, and evictions.

    Args:
        artifacts: the directory.
        quick: two models, and half a second of load.
        memory_mib: limit of the servers with sets of models; 0: none.
    """
    media = _golden_media(artifacts)
    models = list(media)[: 2 if quick else None]
    machine = describe_machine()
    (empty, *rest), evictions = measure_evictions(artifacts, models)
    states = [empty, *measure_alone(artifacts, {model: media[model] for model in models})]
    for names in sets(models):
        seconds = QUICK_LOAD_S if quick else LOAD_S
        states += measure_set(artifacts, media, names, seconds=seconds, memory_mib=memory_mib)
    return Report(machine, (*states, *rest), tuple(evictions))


def render(report: Report) -> str:
    """Return the two tables."""
    lines = [
        *machine_lines(report.machine),
        "",
        "| state, MB | anonymous | most of it before | PSS | RSS |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {s.name} | {s.anonymous_mb:.0f} | {s.peak_mb:.0f} | {s.pss_mb:.0f} | {s.rss_mb:.0f} |"
        for s in report.states
    ]
    lines += ["", "| eviction of, MB | kept | given back | share |", "|---|---|---|---|"]
    lines += [
        f"| {one.model} | {one.kept_mb:.1f} | {one.returned_mb:.1f} | {one.share:.0%} |"
        for one in report.evictions
    ]
    return "\n".join(lines)


def _golden_media(artifacts: Path) -> Media:
    """Return the golden files of the newest version of each model.

    Raises:
        ArtifactError: there is no model.
    """
    media = {}
    for model, directory in newest_versions(artifacts).items():
        golden = read_golden(directory, read_manifest(directory), require_media=True)
        media[model] = golden.media
    return media


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 if the server does not answer, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory",
        description="Measure the memory of the server by state, some minutes for eleven models.",
    )
    add_options(parser, quick="measure the first two models, under half a second of load")
    parser.add_argument(
        "--memory-mib",
        type=int,
        default=0,
        metavar="N",
        help="SLIPWAY_MEMORY_MIB of the servers with several models; 0: no limit",
    )
    options = parser.parse_args(arguments)
    try:
        check_writable(options.json)
        report = measure(options.artifacts, quick=options.quick, memory_mib=options.memory_mib)
    except (SlipwayError, BenchmarkError) as error:
        print(f"benchmarks.memory: {error}", file=sys.stderr)
        return 1
    print(render(report))
    if options.json:
        write_json(options.json, json.loads(json.dumps(to_json(report))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
