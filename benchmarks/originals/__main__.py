"""`python -m benchmarks.originals`: the latency, memory and start of the original frameworks."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.children import PROJECT
from benchmarks.errors import BenchmarkError
from benchmarks.output import add_report_options
from benchmarks.page.files import write_files
from benchmarks.schema.conditions import Conditions, begin
from benchmarks.schema.document import write_section
from runtime.artifact.manifest import newest_versions
from runtime.engine.resources import cpu_count
from runtime.errors import SlipwayError

PYTHON = PROJECT / ".venv-convert" / "bin" / "python"
SETTINGS = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "",
    "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",  # a second run compiles as the first one did
}
FRAMEWORKS = ("torch", "tensorflow-cpu", "keras", "transformers")
THREADS = (1, 2)
TIMEOUT_S = 600.0  # of one model; most of it compiles
ROUNDS, SECONDS = 12, 3.0
QUICK_ROUNDS, QUICK_SECONDS = 2, 0.0

Rows = list[dict[str, Any]]
Measure = Callable[[Path, Sequence[int]], Rows]


@dataclass(frozen=True, slots=True)
class Originals:
    """The section "originals" of a report."""

    conditions: Conditions
    rows: Rows
    installed_mb: Mapping[str, float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; return 1 if the environment is missing or there is no such model."""
    options = _parser().parse_args(arguments)
    start = begin()
    try:
        rows = list(_rows(options.artifacts, options.python, options.models, quick=options.quick))
        if not rows:
            raise BenchmarkError(f"{options.artifacts} has no model {' '.join(options.models)}")
        sizes = json.loads(_run(options.python, "benchmarks.originals.installed", *FRAMEWORKS))
        conditions = start.end(quick=options.quick)
        write_section(options.report, "originals", Originals(conditions, rows, sizes))
        write_files(options.report)
    except (SlipwayError, OSError) as error:
        print(f"benchmarks.originals: {error}", file=sys.stderr)
        return 1
    return 0


def _rows(
    artifacts: Path, python: Path, models: Sequence[str], *, quick: bool
) -> Iterator[dict[str, Any]]:
    """Yield the rows of every model; one that fails has a row with its error."""
    effort = (QUICK_ROUNDS, QUICK_SECONDS) if quick else (ROUNDS, SECONDS)
    for name, directory in newest_versions(artifacts).items():
        if models and name not in models:
            continue
        print(name, file=sys.stderr, flush=True)

        def measure(path: Path, threads: Sequence[int]) -> Rows:
            numbers = (*map(str, effort), *map(str, threads))
            rows: Rows = json.loads(
                _run(python, "benchmarks.originals.child", str(path.resolve()), *numbers)
            )
            return rows

        try:
            yield from of_model(directory, measure, cpu_count())
        except BenchmarkError as error:
            print(f"  left out: {error}", file=sys.stderr, flush=True)
            yield failed(name, str(error))


def failed(model: str, error: str) -> dict[str, Any]:
    """Return the row of a model that was not measured."""
    reason = error.splitlines()[-1][:150]
    names = ("latency", "import_seconds", "load_seconds", "compile_seconds", "memory_mb")
    unknown = dict.fromkeys((*names, "peak_mb", "golden_cosine"))
    row = {"model": model, "engine": "torch", "version": "", "threads": THREADS[0], **unknown}
    return {**row, "error": reason}


def of_model(directory: Path, measure: Measure, cpus: int) -> Rows:
    """Return the rows of a model, for the numbers of threads that one process leaves out too."""
    counts = [count for count in THREADS if count <= cpus]
    rows = measure(directory, counts)
    missing = [count for count in counts if rows and count not in {row["threads"] for row in rows}]
    return rows + [row for count in missing for row in measure(directory, [count])]


def _run(python: Path, module: str, *arguments: str) -> str:
    """Run a module in the conversion's environment and return the last line that it prints.

    Raises:
        BenchmarkError: it failed or took too long.
    """
    try:
        process = subprocess.run(
            [str(python), "-m", module, *arguments],
            cwd=PROJECT,
            env={**os.environ, **SETTINGS},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(f"{module} took longer than {TIMEOUT_S:g} s") from error
    if process.returncode != 0:
        raise BenchmarkError(f"{module} failed: {process.stderr.strip()[-300:]}")
    return process.stdout.strip().splitlines()[-1]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.originals",
        description="Measure the models in PyTorch, eager and compiled, and in Keras, in turns "
        "with the packaged graphs; needs the conversion's environment.",
    )
    add_report_options(parser, quick="two runs of each, to try it out: not figures to quote")
    parser.add_argument(
        "--python",
        type=Path,
        default=PYTHON,
        metavar="FILE",
        help="interpreter of the conversion's environment (default: .venv-convert/bin/python)",
    )
    parser.add_argument("--models", nargs="+", default=[], metavar="ID", help="these alone")
    return parser


if __name__ == "__main__":
    sys.exit(main())
