"""`make demo`: serve the artifacts, write sample files, print curl lines and their answers.

    python -m deploy.demo [--check] [--artifacts artifacts] [--samples samples]

Photos that `python -m convert samples` wrote into the folder of samples are preferred to the golden
media, which are synthetic. Listens on PORT (default 8000), which must be free. With --check it runs
`deploy.check` on the server and ends with its exit code.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.check import check
from deploy.client import opener
from deploy.rows import report
from deploy.tries import Samples, tries
from runtime.artifact.golden import read_golden
from runtime.artifact.manifest import newest_versions, read_manifest
from runtime.errors import SlipwayError

START_S = 30
STOP_S = 35  # the server waits 30 s for requests in progress
TERMINATED = 128 + signal.SIGTERM  # exit code of a shell for a child that SIGTERM ended
HOST = "127.0.0.1"
SUFFIXES = {b"\x89PNG": ".png", b"RIFF": ".wav", b"fLaC": ".flac", b"\x1a\x45\xdf\xa3": ".mkv"}


def main() -> int:
    """Run the command line and return the exit code."""
    options = _parser().parse_args()
    # the default handler would end this process and leave the server running
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    port = os.environ.get("PORT") or "8000"
    try:
        check_port_free(port)
        with serving(options.artifacts, port) as server:
            return _with_server(server, f"http://{HOST}:{port}", options)
    except SlipwayError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0 if not options.check else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.demo",
        description="Serve the artifacts on PORT (default 8000) and print curl lines to try.",
    )
    add = parser.add_argument
    add("--check", action="store_true", help="compare the answers with the artifacts, then end")
    add(
        "--artifacts",
        type=Path,
        default=Path("artifacts"),
        metavar="DIR",
        help="artifacts to serve (default: %(default)s)",
    )
    add(
        "--samples",
        type=Path,
        default=Path("samples"),
        metavar="DIR",
        help="where to write the sample files (default: %(default)s)",
    )
    return parser


def check_port_free(port: str) -> None:
    """Check that no other server listens on a port: its answers would be mistaken for ours.

    Raises:
        SlipwayError: `port` is no port number, or is in use.
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
    """Run the server as a process until the block ends."""
    # the demo may use untrained weights; its answers say so
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


def write_samples(artifacts: Path, folder: Path) -> list[Samples]:
    """Write the golden media of each artifact as <folder>/<model>-<i>.<suffix>.

    Raises:
        ArtifactError: an artifact does not match its manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    models = []
    for directory in newest_versions(artifacts).values():
        manifest = read_manifest(directory)
        files = []
        for number, content in enumerate(read_golden(directory, manifest).media):
            files.append(folder / f"{manifest.id}-{number}{_suffix(content)}")
            files[-1].write_bytes(content)
        models.append(Samples(manifest.id, manifest.spec.task, tuple(files)))
    return models


def _suffix(content: bytes) -> str:
    """Return the file name's suffix for encoded media; text has no signature."""
    if content[8:11] == b"AVI":
        return ".avi"
    if content[4:8] == b"ftyp":
        return ".mp4"
    return next((s for start, s in SUFFIXES.items() if content.startswith(start)), ".txt")


def _with_server(server: subprocess.Popen[bytes], url: str, options: argparse.Namespace) -> int:
    """Check the server, or print curl lines and wait until it ends; return the exit code."""
    if not _ready(url, server):
        raise SlipwayError(f"the server did not come up on {url}")
    if options.check:
        rows = check(url, options.artifacts)
        if server.poll() is not None:
            raise SlipwayError(f"the server ended by itself with {server.returncode}")
        return report(rows)
    models = write_samples(options.artifacts, options.samples)
    # printed at once: the server's own lines would come between
    answers = [
        f"  {attempt.curl_line(url)}\n    -> {attempt.ask(url)}\n"
        for attempt in tries(models, options.samples)
    ]
    print(
        f"\nserving on {url} (end with Ctrl-C); try:\n\n  curl {url}/v1/models\n{''.join(answers)}",
        flush=True,
    )
    return server.wait()


def _ready(url: str, server: subprocess.Popen[bytes]) -> bool:
    """Wait until the server is ready; return False if it ends or takes longer than START_S."""
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
