"""`python -m benchmarks.originals`: the latency, memory and start of the original frameworks."""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.children import PROJECT
from benchmarks.errors import BenchmarkError
from benchmarks.originals.networks import COMPILED, PLAIN, Framework
from benchmarks.output import add_report_options
from benchmarks.page.files import write_files
from benchmarks.peers.process import keeping
from benchmarks.schema.conditions import Conditions, begin
from benchmarks.schema.document import read_report, write_section
from runtime.artifact.manifest import newest_versions
from runtime.engine.resources import cpu_count
from runtime.errors import SlipwayError

PYTHON = PROJECT / ".venv-convert" / "bin" / "python"
SETTINGS = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "",
    "TORCHINDUCTOR_FREEZING": "1",  # weights are constants: faster, and most networks compile
}
FRAMEWORKS = ("torch", "tensorflow-cpu", "keras", "transformers")
THREADS = (1, 2)
PLAIN_S = 240.0  # for a process that compiles nothing
COMPILE_S = 240.0  # for one that compiles and measures
ROUNDS, SECONDS = 12, 3.0
QUICK_ROUNDS, QUICK_SECONDS = 2, 0.0

Rows = list[dict[str, Any]]
Kind = Literal["plain", "compiled"]
Measure = Callable[[Kind, Sequence[int]], Rows]


@dataclass(frozen=True, slots=True)
class Originals:
    """The section "originals" of a report."""

    conditions: Conditions
    rows: Rows
    installed_mb: Mapping[str, float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; return 1 if the environment is missing or there is no such model.

    Models that are not measured keep the rows that the report has of them.
    """
    options = _parser().parse_args(arguments)
    start = begin()
    try:
        present = read_report(options.report).get("originals", {}).get("rows", ())
        rows = list(_rows(options))
        if not rows:
            raise BenchmarkError(f"{options.artifacts} has no model {' '.join(options.models)}")
        measured = {row["model"] for row in rows}
        others = [row for row in present if options.models and row["model"] not in measured]
        rows = sorted([*others, *rows], key=lambda row: str(row["model"]))
        sizes = _installed(options.python)
        conditions = start.end(quick=options.quick)
        write_section(options.report, "originals", Originals(conditions, rows, sizes))
        write_files(options.report)
    except (SlipwayError, OSError) as error:
        print(f"benchmarks.originals: {error}", file=sys.stderr)
        return 1
    return 0


def _rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the rows of every model; what fails or takes too long is a row with its error."""
    effort = (QUICK_ROUNDS, QUICK_SECONDS) if options.quick else (ROUNDS, SECONDS)
    limits = {"plain": PLAIN_S, "compiled": options.compile_seconds}
    for name, directory in newest_versions(options.artifacts).items():
        if options.models and name not in options.models:
            continue

        def measure(kind: Kind, counts: Sequence[int]) -> Rows:
            print(f"{name}: {kind}, threads {counts}", file=sys.stderr, flush=True)  # noqa: B023
            command = (str(directory.resolve()), kind, *map(str, effort))  # noqa: B023
            return _run(options.python, command, counts, limits[kind])

        yield from of_model(name, measure, cpu_count())


def of_model(model: str, measure: Measure, cpus: int) -> Rows:
    """Return the rows of a model: the network as it is, then compiled, each in its processes.

    Keras takes its number of threads once, so each has a process. PyTorch compiles for one number
    of threads, and takes minutes for some networks: it is compiled for one thread alone.
    """
    counts = [count for count in THREADS if count <= cpus]
    try:
        rows = measure("plain", counts)
        missing = [n for n in counts if rows and n not in {row["threads"] for row in rows}]
        for count in missing:
            rows += measure("plain", [count])
    except BenchmarkError as error:
        return [failed(model, "torch", counts[0], str(error))]
    if not rows:
        return [failed(model, "torch", counts[0], "its recipe has no network of PyTorch or Keras")]
    is_keras = any(row["engine"] == PLAIN["keras"] for row in rows)
    framework: Framework = "keras" if is_keras else "torch"
    for count in counts if is_keras else counts[:1]:
        try:
            rows += measure("compiled", [count])
        except BenchmarkError as error:
            rows.append(failed(model, COMPILED[framework], count, str(error)))
    return rows


def failed(model: str, engine: str, threads: int, error: str) -> dict[str, Any]:
    """Return the row of an engine that was not measured."""
    reason = error.splitlines()[-1][:150]
    print(f"  left out: {error}", file=sys.stderr, flush=True)
    names = ("latency", "import_seconds", "load_seconds", "compile_seconds", "memory_mb")
    unknown = dict.fromkeys((*names, "peak_mb", "golden_cosine"))
    row = {"model": model, "engine": engine, "version": "", "threads": threads, **unknown}
    return {**row, "error": reason}


def _run(python: Path, command: Sequence[str], threads: Sequence[int], limit_s: float) -> Rows:
    """Run the measuring process; all that it started, such as compilers, ends with it.

    Raises:
        BenchmarkError: it failed or took too long.
    """
    with tempfile.TemporaryDirectory(prefix="slipway-originals-") as folder:
        out = Path(folder, "rows.json")
        words = [str(python), "-m", "benchmarks.originals.child", *command, str(out)]
        # a cache of its own: a second run compiles as the first one did
        settings = {**SETTINGS, "TORCHINDUCTOR_CACHE_DIR": folder}
        with keeping([*words, *map(str, threads)], settings, limit_s) as running:
            code = running.process.wait()
            if out.exists() and code == 0:
                rows: Rows = json.loads(out.read_text(encoding="utf-8"))
                return rows
            if code == 0:
                raise BenchmarkError(f"it took longer than {limit_s:g} s")
            raise BenchmarkError(f"it ended with {code}: {running.tail[-300:]}")


def _installed(python: Path) -> dict[str, float]:
    """Return the MB on disk of the frameworks."""
    process = subprocess.run(
        [str(python), "-m", "benchmarks.originals.installed", *FRAMEWORKS],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if process.returncode != 0:
        raise BenchmarkError(f"packages are not listed: {process.stderr.strip()[-300:]}")
    sizes: dict[str, float] = json.loads(process.stdout)
    return sizes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.originals",
        description="Measure the models in PyTorch, eager and compiled, and in Keras, in turns "
        "with the packaged graphs; needs the conversion's environment.",
    )
    add_report_options(parser, quick="two runs of each, to try it out: not figures to quote")
    add = parser.add_argument
    add(
        "--python",
        type=Path,
        default=PYTHON,
        metavar="FILE",
        help="interpreter of the conversion's environment (default: .venv-convert/bin/python)",
    )
    add("--models", nargs="+", default=[], metavar="ID", help="these alone")
    add(
        "--compile-seconds",
        type=int,
        default=COMPILE_S,
        metavar="S",
        help="for the process that compiles a model; one that takes longer is a row that says so "
        "(default: %(default)g)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
