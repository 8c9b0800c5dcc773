"""`python -m benchmarks.limits`: the server in cgroups, as the section "limits" of a report."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.limits.cgroup import version_of
from benchmarks.limits.measure import Case, Effort, LimitRow, Media, measure_case
from benchmarks.output import add_report_options
from benchmarks.page.files import write_files
from benchmarks.schema.conditions import Conditions, begin
from benchmarks.schema.document import write_section
from runtime.artifact.golden import read_golden
from runtime.artifact.manifest import newest_versions, read_manifest
from runtime.errors import SlipwayError

MEMORY_MIB = 512
CPUS = (0.1, 0.5, 1.0, 2.0)
FULL = Effort(ready_s=300.0, asking_s=60.0, requests=10, request_s=60.0)
QUICK = Effort(ready_s=60.0, asking_s=5.0, requests=2, request_s=30.0)


@dataclass(frozen=True, slots=True)
class Limits:
    """The section."""

    conditions: Conditions
    rows: tuple[LimitRow, ...]
    notes: tuple[str, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; return 1 if cgroups cannot be made or the artifacts not read."""
    options = _parser().parse_args(arguments)
    start = begin()
    try:
        version = version_of()
        effort = QUICK if options.quick else FULL
        rows = tuple(
            _measured(options.artifacts, case, effort)
            for case in cases(
                _media(options.artifacts), options.memory_mib, options.cpus, options.models
            )
        )
        if not rows:
            raise BenchmarkError(f"{options.artifacts} has no model {' '.join(options.models)}")
        note = f"cgroup version {version}; one client, one request after another, to each model."
        section = Limits(start.end(quick=options.quick), rows, (note,))
        write_section(options.report, "limits", section)
        write_files(options.report)
    except (SlipwayError, OSError) as error:
        print(f"benchmarks.limits: {error}", file=sys.stderr)
        return 1
    return 0


def cases(
    media: Media, memory_mib: int, cpus: Sequence[float], models: Sequence[str]
) -> Iterator[Case]:
    """Yield each model alone, then all of them, with each number of CPUs.

    Args:
        media: an encoded file by model id.
        memory_mib: of each cgroup.
        cpus: of the cgroups.
        models: ids to measure alone; empty: all of them, then together.
    """
    alone = [name for name in media if not models or name in models]
    sets = [{name: media[name]} for name in alone]
    if not models and len(media) > 1:
        sets.append(dict(media))
    for ones in sets:
        for count in cpus:
            yield Case(ones, memory_mib, count)


def _measured(artifacts: Path, case: Case, effort: Effort) -> LimitRow:
    names = " ".join(case.media)
    print(f"{case.memory_mib} MiB, {case.cpus:g} CPUs: {names}", file=sys.stderr, flush=True)
    return measure_case(artifacts, case, effort)


def _media(artifacts: Path) -> Media:
    """Return the first golden file of the newest version of each model."""
    return {
        model: read_golden(directory, read_manifest(directory), require_media=True).media[0]
        for model, directory in newest_versions(artifacts).items()
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.limits",
        description="Serve each model and all of them in cgroups (version 1 or 2, as root), and "
        "measure memory and latency: about a quarter of an hour for eight models.",
    )
    add_report_options(parser, quick="ask twice, to try it out: not figures to quote")
    add = parser.add_argument
    add("--memory-mib", type=int, default=MEMORY_MIB, metavar="N", help="limit (%(default)s)")
    add("--cpus", type=float, nargs="+", default=CPUS, metavar="N", help="limits (0.1 0.5 1 2)")
    add("--models", nargs="+", default=(), metavar="ID", help="these, each alone (all, and all)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
