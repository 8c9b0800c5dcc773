"""The memory of a server with some models: ready, asked, and under load."""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.memory.watch import Event, Point, State, Watch, watching
from benchmarks.server import Media, ask, ask_again, request_json, serving

CLIENTS = 8
POINTS = 240  # of a timeline
LAZY = {"SLIPWAY_LAZY": "all"}
MEMORY_MIB = "SLIPWAY_MEMORY_MIB"
DEMO = ("face_emotion_xception", "image_embedding_mobilenetv2", "background_u2netp")
HOT = (
    *DEMO, "face_emotion_yolov8n", "face_emotion_efficientnet_b3", "face_emotion_arcface",
    "gait_student", "clinical_text_minilm", "voice_emotion_wav2vec2",
)  # fmt: skip


def measure_alone(artifacts: Path, media: Media) -> Iterator[State]:
    """Yield the states of a server with each model alone: ready, and asked with its samples.

    The model is loaded while the memory is watched, so that the peak of the load is seen.
    """
    for model in media:
        with _watched(artifacts, [model], LAZY) as (port, watch):
            request_json(port, "GET", f"/v1/models/{model}")
            yield watch.state(f"{model}, ready")
            for data in media[model]:
                ask(port, model, data)
            yield watch.state(f"{model}, asked")


def measure_set(
    artifacts: Path, media: Media, models: Sequence[str], *, seconds: float, memory_mib: int = 0
) -> Iterator[State]:
    """Yield the states of a server with some models: ready, each asked, and under load.

    Args:
        artifacts: the directory.
        media: samples by model.
        models: to serve.
        seconds: of the load.
        memory_mib: limit of the server; 0: none.
    """
    requests = _requests(media, models)
    name = f"{len(models)} models"
    with _watched(artifacts, models, {MEMORY_MIB: str(memory_mib)}) as (port, watch):
        yield watch.state(f"{name}, ready")
        for model, data in requests:
            ask(port, model, data)
        yield watch.state(f"{name}, each asked")
        _load(port, requests, seconds)
        yield watch.state(f"{name}, {CLIENTS} clients")


@dataclass(frozen=True, slots=True)
class Timeline:
    """The memory of one server over time."""

    points: tuple[Point, ...]
    events: tuple[Event, ...]


def measure_timeline(artifacts: Path, media: Media, *, seconds: float) -> Timeline:
    """Watch a server with all models: ready, each asked, under load, at rest.

    Args:
        artifacts: the directory.
        media: samples by model.
        seconds: of the load; the rest takes half of it.
    """
    requests = _requests(media, tuple(media))
    with _watched(artifacts, tuple(media)) as (port, watch):
        watch.state("ready")
        for model, data in requests:
            ask(port, model, data)
        watch.state("each asked")
        _load(port, requests, seconds)
        watch.state(f"{CLIENTS} clients")
        time.sleep(seconds / 2)
        watch.state("rest")
        return Timeline(_thinned(watch.points), tuple(watch.events))


def _thinned(points: Sequence[Point]) -> tuple[Point, ...]:
    """Return at most POINTS points: of each stretch of time the highest."""
    stretch = -(-len(points) // POINTS)
    stretches = (points[start : start + stretch] for start in range(0, len(points), stretch))
    return tuple(max(some, key=lambda point: point.anonymous_mb) for some in stretches)


def _requests(media: Media, models: Sequence[str]) -> list[tuple[str, bytes]]:
    return [(model, data) for model in models for data in media[model]]


def _load(port: int, requests: Sequence[tuple[str, bytes]], seconds: float) -> None:
    """Ask in turn with CLIENTS clients at once; refused requests count for nothing."""
    end = time.perf_counter() + seconds

    def client(number: int) -> None:
        index = number
        while time.perf_counter() < end:
            ask_again(port, *requests[index % len(requests)])
            index += CLIENTS

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(client, range(CLIENTS)))


def sets(models: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the sets of models to measure together: those with a name that are here, and all."""
    named = [names for names in (DEMO, HOT) if set(names) <= set(models)]
    every = tuple(models)
    return [names for names in named if set(names) != set(every)] + [every]


@contextmanager
def _watched(
    artifacts: Path, models: Sequence[str], settings: Mapping[str, str] | None = None
) -> Iterator[tuple[int, Watch]]:
    """Serve some models of a directory; yield the port, and the watch of the memory."""
    with tempfile.TemporaryDirectory(prefix="slipway-memory-") as directory:
        for model in models:
            Path(directory, model).symlink_to((artifacts / model).resolve())
        with serving(Path(directory), settings) as server, watching(server.pid) as watch:
            yield server.port, watch
