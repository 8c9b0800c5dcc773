"""Measure the server by the number of its clients, and by the number of its models."""

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.memory.watch import watching
from benchmarks.scaling.fit import Series, series
from benchmarks.server import Media, ask, serving
from benchmarks.serving.load import Job, run_load
from benchmarks.suite.http import SETTINGS

CLIENTS = (1, 2, 4, 8, 16, 32, 64)


def measure_clients(
    artifacts: Path, model: str, data: bytes, *, seconds: float
) -> Iterator[Series]:
    """Yield the throughput and the median latency of a model by the number of clients."""
    with serving(artifacts, SETTINGS) as server, tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "request")
        file.write_bytes(data)
        url = f"http://127.0.0.1:{server.port}/v1/models/{model}"
        run_load(Job(url, str(file), CLIENTS[0], seconds))
        loads = [(count, run_load(Job(url, str(file), count, seconds))) for count in CLIENTS]
    yield series("clients", model, "answers/s", [(count, load.per_s) for count, load in loads])
    yield series("clients", model, "p50 ms", [(count, load.p50_ms) for count, load in loads])


def measure_models(artifacts: Path, media: Media, *, starts: int) -> Iterator[Series]:
    """Yield the start and the memory of servers with 1, 2, ... models, in alphabetic order.

    Args:
        artifacts: the directory.
        media: samples by model; each model is asked with its first one.
        starts: of each server, whose median counts.
    """
    ready, listening, memory = [], [], []
    for count in range(1, len(media) + 1):
        with tempfile.TemporaryDirectory(prefix="slipway-models-") as folder:
            for model in list(media)[:count]:
                Path(folder, model).symlink_to((artifacts / model).resolve())
            times = []
            for number in range(starts):
                with serving(Path(folder)) as server:
                    times.append((server.ready_s, server.listening_s))
                    if number == starts - 1:
                        for model in list(media)[:count]:
                            ask(server.port, model, media[model][0])
                        with watching(server.pid) as watch:
                            memory.append((count, watch.state("").anonymous_mb))
        ready.append((count, statistics.median(one for one, _ in times)))
        listening.append((count, statistics.median(one for _, one in times)))
    yield series("models", "server", "s until it listens", listening)
    yield series("models", "server", "s until all are ready", ready)
    yield series("models", "server, each asked once", "anonymous MB", memory)
