"""Sizes and memory of both sides: figures that need no repetition, or few."""

import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.footprint import package_sizes
from benchmarks.regression.checkout import Checkout
from benchmarks.regression.passes import Sides
from benchmarks.regression.subjects import HttpServer
from benchmarks.regression.thresholds import Exact
from benchmarks.regression.verdict import ExactVerdict
from benchmarks.regression.workload import Workload

CODE = ("runtime", "serve")  # what the image holds
REQUESTS = 30  # of each kind, before the memory of a used server is read
SERVERS = 2  # of each side; the least memory of them counts
MEGABYTE = 1e6


def sizes(sides: Sides, exact: Exact, artifacts: Sequence[Path] = ()) -> list[ExactVerdict]:
    """Return the sizes of the code, the deployed packages and, of both sides, the artifacts.

    Args:
        sides: base and head.
        exact: the limits.
        artifacts: what the base and the head converted; empty: nothing.
    """
    base, head = (_code_bytes(side.directory) for side in sides.both)
    verdicts = [ExactVerdict("code of runtime and serve", base, head, exact.code_ratio, 0)]
    packages = [_package_bytes(side) for side in sides.both]
    if None not in packages:
        base, head = (int(size or 0) for size in packages)
        verdicts.append(ExactVerdict("deployed packages", base, head, exact.package_ratio, 0))
    if artifacts:
        base, head = (_graph_bytes(folder) for folder in artifacts)
        verdicts.append(ExactVerdict("artifacts", base, head, exact.artifact_ratio, 0))
    return verdicts


def memory(sides: Sides, workload: Workload, exact: Exact) -> list[ExactVerdict]:
    """Return the anonymous memory of servers, ready and used.

    Raises:
        BenchmarkError: a server does not start, or an answer is not 200.
    """
    ready: list[list[int]] = [[], []]
    used: list[list[int]] = [[], []]
    for _ in range(SERVERS):
        for side, checkout in enumerate(sides.both):
            with closing(HttpServer(checkout, workload)) as server:
                ready[side].append(server.anonymous_bytes())
                for case in workload.requests:
                    server.measure(case.name, 1, REQUESTS)
                used[side].append(server.anonymous_bytes())
    limits = (exact.memory_ratio, exact.memory_bytes)
    return [
        ExactVerdict("memory of the server, ready", min(ready[0]), min(ready[1]), *limits),
        ExactVerdict("memory of the server, used", min(used[0]), min(used[1]), *limits),
    ]


def convert(side: Checkout, python: Path, model: str, target: Path) -> Path:
    """Convert a model with untrained weights by the code of one side.

    Args:
        side: whose `convert` runs.
        python: of the environment of conversions.
        model: its id.
        target: the artifacts.

    Raises:
        BenchmarkError: it fails; quotes its output.
    """
    command = [str(python), "-m", "convert", "run", model, "--weights", "seeded"]
    done = subprocess.run(
        [*command, "--search", "quick", "--out", str(target)],
        cwd=side.directory, env=side.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        output = (done.stdout + done.stderr)[-2000:]
        raise BenchmarkError(f"the conversion of {side.directory} failed: {output}")
    return target


def _code_bytes(checkout: Path) -> int:
    files = (path for package in CODE for path in (checkout / package).rglob("*"))
    return sum(
        path.stat().st_size
        for path in files
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".md"
    )


def _package_bytes(side: Checkout) -> int | None:
    """Return the size of the packages that a side pins; None if others are installed."""
    try:
        sizes_mb = package_sizes(side.directory / "requirements" / "deploy.txt")
    except (BenchmarkError, OSError):
        return None
    return round(sum(sizes_mb.values()) * MEGABYTE)


def _graph_bytes(artifacts: Path) -> int:
    return sum(path.stat().st_size for path in artifacts.glob("*/*/*.onnx*"))
