"""`python -m benchmarks.scaling`: how time and memory grow with the size of what is asked."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.output import add_report_options
from benchmarks.page.files import write_files
from benchmarks.page.markdown import render
from benchmarks.scaling.files import measure_files
from benchmarks.scaling.fit import Series
from benchmarks.scaling.graphs import measure_graph
from benchmarks.scaling.servers import measure_clients, measure_models
from benchmarks.schema.conditions import Conditions, begin
from benchmarks.schema.document import write_section
from benchmarks.suite.http import CURVE_MODEL
from benchmarks.suite.measure import golden_media
from benchmarks.timing import QUICK, Effort
from runtime.artifact.manifest import newest_versions
from runtime.engine.allocator import tune_allocator
from runtime.errors import SlipwayError

EFFORT = Effort(
    seconds=4.0, minimum_rounds=10, maximum_rounds=200, warm_up_rounds=2, process_starts=3
)


@dataclass(frozen=True, slots=True)
class Scaling:
    """The section "scaling" of a report."""

    conditions: Conditions
    series: tuple[Series, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; return 1 if a process failed, else 0."""
    options = _parser().parse_args(arguments)
    tune_allocator()  # as the server does
    start = begin()
    try:
        curves = tuple(_series(options.artifacts, quick=options.quick, long=options.long))
        section = Scaling(start.end(quick=options.quick), curves)
        report = write_section(options.report, "scaling", section)
        write_files(options.report)
    except (SlipwayError, OSError) as error:
        print(f"benchmarks.scaling: {error}", file=sys.stderr)
        return 1
    print(render({name: report[name] for name in ("schema_version", "scaling")}))
    return 0


def _series(artifacts: Path, *, quick: bool, long: bool) -> Iterator[Series]:
    directories = newest_versions(artifacts)
    media = {name: golden_media(path) for name, path in directories.items()}
    model = CURVE_MODEL if CURVE_MODEL in directories else next(iter(directories))
    effort = QUICK if quick else EFFORT
    print(f"graph and server: {model}", file=sys.stderr, flush=True)
    yield from measure_graph(directories[model], effort)
    yield from measure_clients(artifacts, model, media[model][0], seconds=0.3 if quick else 2.0)
    yield from measure_models(artifacts, media, starts=effort.process_starts)
    yield from measure_files(artifacts, quick=quick, long=long)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling",
        description="Measure how time and memory grow with the pixels of an image, the seconds of "
        "a sound, the frames of a clip, the rows of a batch, threads, clients and models.",
    )
    add_report_options(parser, quick="the two smallest files of each kind, to try it out")
    parser.add_argument("--long", action="store_true", help="an hour of sound too: minutes more")
    return parser


if __name__ == "__main__":
    sys.exit(main())
