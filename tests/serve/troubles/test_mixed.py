"""Requests of all kinds to every route, mixed: each gets its own answer, and memory stays.

With SLIPWAY_ARTIFACTS the models of that directory, as `make soak` names it; else the tiny ones.
"""

import asyncio
import os
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from tests.serve.troubles.support import cpu, wire
from tests.serve.troubles.support.catalogue import (
    ADMIN_KEY,
    INFER,
    RARE,
    SPARE,
    TENSORS,
    Catalogue,
    Exchange,
    catalogue_of,
    operations,
    with_fields,
)
from tests.serve.troubles.support.load import Question, arrivals, closed_loop
from tests.serve.troubles.support.mixed import Mixture
from tests.serve.troubles.support.scale import Scale
from tests.serve.troubles.support.server import Server, started
from tests.serve.troubles.support.table import Figures
from tests.serve.troubles.support.trend import traced
from tests.support.artifacts import TENSORS as TENSORS_GRAPH
from tests.support.artifacts import TYPES, write_artifact

SETTINGS: Mapping[str, str] = {
    "SLIPWAY_ADMIN_KEY": ADMIN_KEY,
    "SLIPWAY_ALLOW_SEEDED": "1",
    "SLIPWAY_CACHE": "image-feature-extraction,image-segmentation,sentence-similarity",
}
TEN_MINUTES_S = 600.0
SLOPE_MB = 1.0  # per ten minutes, over the last half
LEAST_S = 1200
MOST_RUNS = 10.0  # of models, in percent of the requests
STATED = frozenset((501, 503, 505))  # 501 and 505 to what is no HTTP/1
LOAD = 0.7  # of what a model can answer
SPREAD = 5.0  # of the 99th percentile over the median


def artifacts_of(scale: Scale, tiny: Path, folder: Path) -> Path:
    """Return a copy of the artifacts that are served: their routing.json is written."""
    named = os.environ.get("SLIPWAY_ARTIFACTS", "")
    source = Path(named) if scale.soak and named else tiny
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(".work", "tiny_slow"))
    for model, graph in ((TENSORS, TENSORS_GRAPH), (SPARE, TYPES)):
        if not (folder / model).exists():
            write_artifact(folder, graph)
    return folder


def runs_of(server: Server) -> float:
    """Return how many runs of graphs the server has counted."""
    answer = wire.get(server.port, "/metrics")
    assert answer is not None
    counts = re.findall(r"^slipway_batch_rows_count\{.*\} (\S+)$", answer.body.decode(), re.M)
    return sum(map(float, counts))


def measure_busy(
    server: Server, model: str, exchanges: list[Exchange], scale: Scale, figures: Figures
) -> None:
    """Measure a model's latency at 70 % of the requests that it can answer."""
    catalogue = [
        Question(with_fields(one.request, "Cache-Control: no-store"), one.result)
        for one in exchanges
    ]
    most = asyncio.run(closed_loop(server.port, catalogue, clients=4, seconds=scale.busy_s))
    rate = LOAD * most.right / scale.busy_s
    tally = asyncio.run(
        arrivals(server.port, catalogue, rate=rate, seconds=2 * scale.busy_s, patience_s=60)
    )
    outcome = (tally.wrong, tally.lost, tally.other)
    figures.equal(f"{model}: wrong, lost, other", outcome, (0, 0, []))
    figures.show(f"{model}: rate", rate, "/s")
    figures.show(f"{model}: median", 1000 * tally.quantile_s(0.5), "ms")
    spread = tally.quantile_s(0.99) / tally.quantile_s(0.5)
    if scale.soak:
        figures.at_most(f"{model}: p99 / median", spread, SPREAD, "")
    else:  # of so few answers it tells nothing
        figures.show(f"{model}: p99 / median", spread, "")


def single_files(catalogue: Catalogue, model: str) -> list[Exchange]:
    """Return the requests for one answer of one model, without other work."""
    path = INFER if model == TENSORS else f"/v1/models/{model} "
    return [
        one
        for one in catalogue.runs
        if path.encode() in one.request and b'"image": [' not in one.request
    ]


def report(mixture: Mixture, catalogue: Catalogue, figures: Figures) -> None:
    """Put what became of the requests into the table."""
    outcomes, total = mixture.outcomes, mixture.outcomes.requests.total()
    figures.equal("faults", outcomes.fault_count, 0)
    figures.equal("lost", outcomes.lost, 0)
    statuses = {status for _, status in outcomes.statuses if status >= 500}
    figures.equal("5xx", sorted(statuses - STATED), [])
    figures.at_most("429 and 503", outcomes.refused.total(), total / 20, "")
    # what the administrator does at the same time may be refused
    busy = outcomes.refused.keys() & RARE.keys()
    missing = sorted(catalogue.keys - outcomes.keys.keys() - busy)
    figures.equal("routes without a right answer", missing, [])
    for kind, count in sorted(outcomes.requests.items()):
        figures.show(f"{kind}: requests", count, "")
    for name, latencies in sorted(outcomes.latencies_s.items()):
        ordered = sorted(latencies)
        figures.show(f"{name}: median", 1000 * ordered[len(ordered) // 2], "ms")
        figures.show(f"{name}: p99", 1000 * ordered[len(ordered) * 99 // 100], "ms")


def test_every_route(tiny: Path, scale: Scale, figures: Figures, tmp_path: Path) -> None:
    artifacts = artifacts_of(scale, tiny, tmp_path / "artifacts")
    with started(artifacts, tmp_path / "log", settings=SETTINGS) as server:
        catalogue = catalogue_of(server.port, tmp_path)
        missing = operations(server.port) - catalogue.keys
        assert not missing, f"no request to {sorted(missing)}: add one to support/catalogue.py"
        mixture = Mixture(server.port, catalogue)
        runs, cpu_s, begin = runs_of(server), cpu.cpu_s(server.pid), time.monotonic()
        with traced(server.pid, period_s=max(0.1, scale.mixed / scale.mixed_rate / 1000)) as memory:
            asyncio.run(mixture.run(scale.mixed, scale.mixed_rate))
        seconds = time.monotonic() - begin
        runs, cpu_s = runs_of(server) - runs, cpu.cpu_s(server.pid) - cpu_s
        for model in sorted({one.model for one in catalogue.runs}):
            measure_busy(server, model, single_files(catalogue, model), scale, figures)
        figures.equal("server ended", server.process.poll(), None)
        figures.equal("tracebacks in the log", server.log_text().count("Traceback"), 0)
    print(*mixture.outcomes.faults, sep="\n")  # shown if the test fails
    print("memory, MB:", *memory.process.sizes_mb[:: max(1, len(memory.process.sizes_mb) // 40)])
    total = mixture.outcomes.requests.total()
    figures.at_least("requests", total, scale.mixed)
    figures.at_least("seconds", seconds, LEAST_S if scale.soak else 0, "s")
    figures.show("CPU of the server's process", 100 * cpu_s / seconds, "%")
    figures.at_most("runs of models", 100 * runs / total, MOST_RUNS, "%")
    report(mixture, catalogue, figures)
    process, tree = memory.process.last(0.5), memory.tree
    slope_mb = process.slope_mb_per_s * TEN_MINUTES_S
    figures.show("memory of the server's process", process.median_mb, "MB")
    figures.show("memory of all processes", tree.last(0.5).median_mb, "MB")
    higher_mb = tree.last(0.25).highest_mb - tree.first(0.75).highest_mb
    if scale.soak:
        figures.at_most("slope over the last half", slope_mb, SLOPE_MB, "MB in 10 min")
        figures.at_most("all: highest, last quarter over before", higher_mb, SLOPE_MB, "MB")
    else:  # models and decoders are loaded the first time
        figures.show("slope over the last half", slope_mb, "MB in 10 min")
