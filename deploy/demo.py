"""`make demo`: serve the artifacts, write sample media, print curl lines that work with them.

    python -m deploy.demo [--check] [--artifacts artifacts] [--samples samples]

Listens on PORT (8000), which has to be free. With --check it asks the server everything
(deploy.check) and ends with that exit code instead of staying.
"""

import argparse
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.check import FIELDS, ROUTES, check
from deploy.client import opener
from deploy.rows import report
from runtime.artifact.golden import read_golden
from runtime.artifact.manifest import Task, newest_versions, read_manifest
from runtime.errors import SlipwayError
from runtime.tasks import defaults

START_S = 30
STOP_S = 35  # the server gives requests in progress 30 s
ENDED = 128 + signal.SIGTERM  # exit code of a shell's child that was told to end
HOST = "127.0.0.1"
OWNERS: Mapping[Task, tuple[str, str]] = {  # variable that names a route's model, and its default
    "image-classification": ("SLIPWAY_FACE_EMOTION_MODEL", defaults.FACE_EMOTION_MODEL),
    "image-feature-extraction": ("SLIPWAY_SIMILARITY_MODEL", defaults.SIMILARITY_MODEL),
    "image-segmentation": ("SLIPWAY_BACKGROUND_MODEL", defaults.BACKGROUND_MODEL),
    "audio-classification": ("SLIPWAY_VOICE_EMOTION_MODEL", defaults.VOICE_EMOTION_MODEL),
    "video-classification": ("SLIPWAY_GAIT_MODEL", defaults.GAIT_MODEL),
}
SUFFIXES = {b"\x89PNG": ".png", b"RIFF": ".wav", b"fLaC": ".flac", b"\x1a\x45\xdf\xa3": ".mkv"}


@dataclass(frozen=True, slots=True)
class Sampled:
    """A model and the files to try it with."""

    model: str
    task: Task
    files: tuple[Path, ...]


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.demo")
    parser.add_argument("--check", action="store_true", help="compare with the artifacts, then end")
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"), help="models to serve")
    parser.add_argument(
        "--samples", type=Path, default=Path("samples"), help="where to write the sample files"
    )
    options = parser.parse_args()
    # the default handler would leave the server behind
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ENDED))
    port = os.environ.get("PORT") or "8000"
    try:
        refuse_taken_port(port)
        with serving(options.artifacts, port) as server:
            return _with_server(server, f"http://{HOST}:{port}", options)
    except SlipwayError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0 if not options.check else 1


def refuse_taken_port(port: str) -> None:
    """Make sure that nothing listens there: its answers would be taken for those of our server.

    Raises:
        SlipwayError: `port` is no port number, or is taken.
    """
    if not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise SlipwayError(f"PORT is {port!r}; allowed: 1 to 65535")
    try:
        socket.create_server((HOST, int(port))).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise SlipwayError(f"cannot listen on {HOST}, port {port}: {reason}") from error


@contextmanager
def serving(artifacts: Path, port: str) -> Iterator[subprocess.Popen[bytes]]:
    """The server as a process, ended when the context is left."""
    # a demo may show untrained weights: its answers say so
    environment = {**os.environ, "SLIPWAY_ALLOW_SEEDED": "1", "PORT": port}
    command = [sys.executable, "-m", "serve", "--artifacts", str(artifacts), "--host", HOST]
    process = subprocess.Popen(command, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def write_samples(artifacts: Path, samples: Path) -> list[Sampled]:
    """Write the golden media of each artifact as <samples>/<model>-<i>.<suffix>.

    Raises:
        ArtifactError: an artifact is not as its manifest says.
    """
    samples.mkdir(parents=True, exist_ok=True)
    written = []
    for directory in newest_versions(artifacts).values():
        manifest = read_manifest(directory)
        files = []
        for number, content in enumerate(read_golden(directory, manifest).media):
            files.append(samples / f"{manifest.id}-{number}{_suffix(content)}")
            files[-1].write_bytes(content)
        written.append(Sampled(manifest.id, manifest.spec.task, tuple(files)))
    return written


def _suffix(content: bytes) -> str:
    if content[8:11] == b"AVI":
        return ".avi"
    if content[4:8] == b"ftyp":
        return ".mp4"
    return next((s for start, s in SUFFIXES.items() if content.startswith(start)), ".txt")


def curl_lines(url: str, models: Sequence[Sampled]) -> list[str]:
    """What to type: the task route of the models that own one, /v1/models/<id> of the others."""
    lines = [f"curl {url}/v1/models"]
    for sampled in (sampled for sampled in models if sampled.files):
        variable, default = OWNERS.get(sampled.task, ("", ""))
        if sampled.model == (os.environ.get(variable) or default):
            lines += _task_lines(url, sampled)
        else:
            field = _field(FIELDS.get(sampled.task, "image"), sampled, 0)
            lines.append(f"curl {field} {url}/v1/models/{sampled.model}")
    return lines


def _task_lines(url: str, sampled: Sampled) -> list[str]:
    image = _field(FIELDS.get(sampled.task, "image"), sampled, 0)
    if sampled.task in ("image-classification", "audio-classification", "video-classification"):
        return [f"curl {image} {url}{ROUTES[sampled.task]}"]
    if sampled.task == "image-feature-extraction":
        pair = f"{_field('image_a', sampled, 0)} {_field('image_b', sampled, 1)}"
        return [f"curl {pair} {url}/v1/similarity"]
    return [
        f"curl {image} -o cut-out.png {url}/v1/background",
        f"curl {image} -o on-blue.png '{url}/v1/background?color=%233366ff'",
    ]


def _field(name: str, sampled: Sampled, index: int) -> str:
    # one file is enough for a pair: it is as alike as can be
    file = sampled.files[min(index, len(sampled.files) - 1)]
    return f"-F {shlex.quote(f'{name}=@{file}')}"


def _with_server(server: subprocess.Popen[bytes], url: str, options: argparse.Namespace) -> int:
    if not _ready(url, server):
        raise SlipwayError(f"the server did not come up on {url}")
    if options.check:
        rows = check(url, options.artifacts)
        if server.poll() is not None:
            raise SlipwayError(f"the server ended by itself with {server.returncode}")
        return report(rows)
    lines = curl_lines(url, write_samples(options.artifacts, options.samples))
    text = "".join(f"  {line}\n" for line in lines)
    print(f"\nserving on {url} (end with Ctrl-C); try:\n\n{text}", flush=True)
    return server.wait()


def _ready(url: str, server: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with opener(url).open(f"{url}/v2/health/ready", timeout=1) as answer:
                return bool(answer.status == 200 and server.poll() is None)
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    return False


if __name__ == "__main__":
    sys.exit(main())
