"""Measure the servers of every model, and say in rows and sentences what came out."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.children import PROJECT
from benchmarks.errors import BenchmarkError
from benchmarks.peers import environments
from benchmarks.peers.environments import Environment
from benchmarks.peers.measure import Effort, Start, Turns, measure
from benchmarks.peers.process import Request
from benchmarks.peers.requests import interpolation, model_file, request_of
from benchmarks.peers.section import BareRow, ServerRow, bare_row, server_rows
from benchmarks.peers.table import ARTIFACTS, OWN, PYTHON, Peer
from benchmarks.peers.verdicts import Share, Verdict, sentences, shares, verdicts
from benchmarks.serving.bare_loop import Work, run_bare_loop

U2NETP_FILE = ".venv-convert/lib/python*/site-packages/rembg/u2netp.onnx"


@dataclass(frozen=True, slots=True)
class Place:
    """Name the models, the environments and the file of a request."""

    artifacts: Path
    environments: Path
    file: Path  # JPEG


@dataclass(frozen=True, slots=True)
class Servers:
    """The rows of some models."""

    bare: tuple[BareRow, ...]
    rows: tuple[ServerRow, ...]
    verdicts: tuple[Verdict, ...]
    shares: tuple[Share, ...]
    notes: tuple[str, ...]


def measure_servers(
    table: Sequence[Peer], place: Place, efforts: Mapping[str, Effort], threads: int
) -> Servers:
    """Measure the servers of each model that has an effort.

    Args:
        table: the servers.
        place: what they serve.
        efforts: by model.
        threads: of the bare loop.
    """
    bare, rows = list[BareRow](), list[ServerRow]()
    compared, reached, notes = list[Verdict](), list[Share](), list[str]()
    for model, effort in efforts.items():
        ones = [peer for peer in table if peer.model == model]
        if not ones:
            continue
        installed = {peer.name: _environment(peer, place) for peer in ones}
        turns, works = _measure_model(ones, installed, place, effort, threads)
        bare.append(bare_row(model, threads, works))
        for peer in ones:
            environment = installed[peer.name]
            usable = None if isinstance(environment, str) else environment
            rows += server_rows(peer, usable, turns[peer.name], effort.clients)
        results = list(verdicts(ones, turns, effort.clients))
        compared += results
        reached += shares(ones, turns, works, effort.clients)
        for name in [one.name for one in ones if one.name.startswith(OWN)][-1:]:
            notes += sentences(results, name)  # with as many workers as the peers have
    return Servers(tuple(bare), tuple(rows), tuple(compared), tuple(reached), tuple(notes))


def _measure_model(
    ones: Sequence[Peer],
    installed: Mapping[str, Environment | str],
    place: Place,
    effort: Effort,
    threads: int,
) -> tuple[dict[str, Turns], list[Work]]:
    artifact = place.artifacts / ones[0].model
    data = place.file.read_bytes()
    with _home(artifact) as folder:
        starts, failed = dict[str, Start](), dict[str, Turns]()
        for peer in ones:
            environment = installed[peer.name]
            if isinstance(environment, str):
                failed[peer.name] = Turns(error=environment)
                continue
            request = request_of(peer, place.artifacts, data)
            starts[peer.name] = _start(peer, environment, request, folder, artifact)
        turns, works = measure(starts, _loop(artifact, place.file, threads), effort)
    return {**turns, **failed}, works


def _loop(artifact: Path, file: Path, threads: int) -> Callable[[float], Work]:
    return lambda seconds: run_bare_loop(artifact, file, threads=threads, seconds=seconds)


def _environment(peer: Peer, place: Place) -> Environment | str:
    """Return the environment of a server, or why there is none."""
    if not peer.environment:
        return environments.deployed()
    try:
        return environments.read(place.environments, peer.environment)
    except BenchmarkError as error:
        return str(error)


def _start(
    peer: Peer, environment: Environment, request: Request, folder: Path, artifact: Path
) -> Start:
    """Return how a server is started: Slipway with this model alone."""
    words = {PYTHON: str(environment.python), ARTIFACTS: str(folder / "artifacts")}
    variables = {
        **peer.variables,
        "PYTHONPATH": str(PROJECT),
        "PEER_MODEL": str(model_file(artifact).resolve()),
        "PEER_INTERPOLATION": interpolation(artifact),
        "U2NET_HOME": str(folder),
        "ORT_DISABLE_TELEMETRY": "1",
    }
    command = tuple(words.get(word, word) for word in peer.command)
    return Start(peer, command, variables, request)


@contextmanager
def _home(artifact: Path) -> Iterator[Path]:
    """Make a folder with the one artifact, and rembg's own file where it is installed."""
    with tempfile.TemporaryDirectory(prefix="slipway-peers-") as name:
        folder = Path(name)
        (folder / "artifacts").mkdir()
        (folder / "artifacts" / artifact.name).symlink_to(artifact.resolve())
        for file in PROJECT.glob(U2NETP_FILE):
            (folder / file.name).symlink_to(file.resolve())
        yield folder
