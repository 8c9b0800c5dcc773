"""`python -m benchmarks.peers`: measure the peers, and write the section "peers" of a report."""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.media_files import write_photo
from benchmarks.output import add_report_options
from benchmarks.page.files import write_files
from benchmarks.peers import environments
from benchmarks.peers.engines.measure import error_row, measure_engines
from benchmarks.peers.engines.rows import EngineRow
from benchmarks.peers.load import generator
from benchmarks.peers.measure import Effort
from benchmarks.peers.section import Peers
from benchmarks.peers.servers import Place, measure_servers
from benchmarks.peers.table import MOBILENET, U2NETP, Peer, peers
from benchmarks.schema.conditions import begin
from benchmarks.schema.document import read_report, write_section
from runtime.engine.resources import cpu_count
from runtime.errors import SlipwayError

FULL = {MOBILENET: Effort(5, 4.0, (1, 8, 32), 120.0), U2NETP: Effort(5, 6.0, (1, 8), 240.0)}
QUICK = {MOBILENET: Effort(1, 2.0, (1, 8), 120.0), U2NETP: Effort(1, 6.0, (1,), 240.0)}
TURNS, RUNS, QUICK_TURNS, QUICK_RUNS = 5, 12, 1, 2  # of each graph in an engine
MEGAPIXELS = 0.31  # about 640 x 480
PARTS = ("servers", "engines")
KEYS = ("bare_loop", "servers", "verdicts", "shares", "engines", "notes")

Rows = Mapping[str, Sequence[Any]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; return 1 if the artifacts or the file cannot be read, else 0.

    A peer that is not installed, does not start or answers wrongly is a row with its error. What
    is not measured is kept from the report as it is.
    """
    options = _parser().parse_args(arguments)
    start = begin()
    try:
        rows = {**_present(options.report), **_measured(options)}
        conditions = start.end(quick=options.quick)
        versions = {**conditions.versions, "load generator": generator()}
        section = Peers(replace(conditions, versions=versions), **rows)
        write_section(options.report, "peers", section)
        write_files(options.report)
        for note in section.notes:
            print(note)
    except (SlipwayError, OSError) as error:
        print(f"benchmarks.peers: {error}", file=sys.stderr)
        return 1
    return 0


def _measured(options: argparse.Namespace) -> Rows:
    rows = dict[str, Sequence[Any]]()
    if "servers" in options.parts:
        with _photo(options.file) as file:
            place = Place(options.artifacts, options.environments, file)
            efforts = QUICK if options.quick else FULL
            if options.rounds:
                efforts = {
                    name: replace(one, rounds=options.rounds) for name, one in efforts.items()
                }
            table = _chosen(peers(cpu_count()), options.only)
            servers = measure_servers(table, place, efforts, cpu_count())
        rows |= {
            "bare_loop": servers.bare,
            "servers": servers.rows,
            "verdicts": servers.verdicts,
            "shares": servers.shares,
            "notes": servers.notes,
        }
    if "engines" in options.parts:
        rows["engines"] = _engines(options)
    return rows


def _present(folder: Path) -> Rows:
    """Return the rows of an earlier measurement."""
    section = read_report(folder).get("peers", {})
    return {name: section.get(name, ()) for name in KEYS}


def _chosen(table: Sequence[Peer], names: Sequence[str]) -> tuple[Peer, ...]:
    """Return the servers whose name begins with one of the names; all without names."""
    chosen = [p for p in table if not names or p.name.lower().startswith(tuple(names))]
    if not chosen:
        servers = ", ".join(dict.fromkeys(peer.name for peer in table))
        raise BenchmarkError(f"--only {' '.join(names)}: no such server; allowed: {servers}")
    return tuple(chosen)


def _engines(options: argparse.Namespace) -> Sequence[EngineRow]:
    turns, runs = (QUICK_TURNS, QUICK_RUNS) if options.quick else (TURNS, RUNS)
    try:
        openvino = environments.read(options.environments, "openvino")
    except BenchmarkError as error:
        return (error_row("", "OpenVINO", None, "", str(error)),)
    models = options.models
    return tuple(measure_engines(options.artifacts, models, openvino, turns=turns, count=runs))


@contextmanager
def _photo(file: Path | None) -> Iterator[Path]:
    """Yield the file that is sent: the given one, or a synthetic photo."""
    with tempfile.TemporaryDirectory(prefix="slipway-peers-") as folder:
        if file is None:
            file = Path(folder, "photo.jpg")
            write_photo(file, MEGAPIXELS)
        yield file.resolve()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description="Compare Slipway with other servers and engines that run the same model files.",
    )
    add_report_options(parser, quick="measure short turns, to try it out: not figures to quote")
    add = parser.add_argument
    add(
        "--environments",
        metavar="DIR",
        type=Path,
        default=environments.DEFAULT,
        help="environments that `python -m benchmarks.peers.environments DIR` has made",
    )
    add("--file", metavar="JPEG", type=Path, help="file that is sent (default: a synthetic photo)")
    add("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (both)")
    add("--only", nargs="+", default=(), metavar="NAME", help="servers whose name begins so")
    add("--models", nargs="+", default=(), metavar="ID", help="models for the engines (all)")
    add("--rounds", type=int, default=0, help="turns of each server (5)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
