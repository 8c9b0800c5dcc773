"""`make demo`: serve the artifacts, write sample pictures, print curl lines that work with them.

    python -m deploy.demo [--check] [--artifacts artifacts] [--samples samples]

Listens on PORT (8000). With --check it asks the server everything (deploy.check) and ends with that
exit code instead of staying.
"""

import argparse
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from deploy.check import check, print_table
from runtime.manifest import read_manifest, versions

START_S = 30
HOST = "127.0.0.1"


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.demo")
    parser.add_argument("--check", action="store_true", help="compare with the artifacts, then end")
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"))
    parser.add_argument("--samples", type=Path, default=Path("samples"))
    options = parser.parse_args()
    port = os.environ.get("PORT", "8000")
    url = f"http://{HOST}:{port}"
    with serving(options.artifacts, port) as server:
        if not _ready(url, server):
            print(f"demo: the server did not come up on {url}", file=sys.stderr)
            return 1
        if options.check:
            rows = check(url, options.artifacts)
            print_table(rows)
            problems = sum(1 for row in rows if row.problem)
            print(f"{len(rows) - problems} of {len(rows)} as verified at conversion")
            return 1 if problems else 0
        write_samples(options.artifacts, options.samples)
        print(_curl_lines(url, options.samples), flush=True)
        try:
            return server.wait()
        except KeyboardInterrupt:
            return 0


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
        process.wait(timeout=START_S)


def write_samples(artifacts: Path, samples: Path) -> None:
    """The golden pictures of each artifact as <samples>/<model>-<i>.png."""
    samples.mkdir(exist_ok=True)
    for directory in sorted(path for path in artifacts.iterdir() if versions(path)):
        newest = versions(directory)[-1]
        with np.load(newest / read_manifest(newest).golden.name) as golden:
            for name in golden.files:
                if name.startswith("media/"):
                    path = samples / f"{directory.name}-{name.removeprefix('media/')}.png"
                    path.write_bytes(golden[name].tobytes())


def _ready(url: str, server: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/v2/health/ready", timeout=1) as answer:
                # the port's answer may be another program's: ours would still be starting, or dead
                return bool(answer.status == 200 and server.poll() is None)
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    return False


def _curl_lines(url: str, samples: Path) -> str:
    face = samples / "face_emotion_xception-0.png"
    one, two = (samples / f"image_embedding_mobilenetv2-{i}.png" for i in (0, 1))
    scene = samples / "background_u2netp-0.png"
    return f"""
serving on {url} (end with Ctrl-C); try:

  curl {url}/v1/models
  curl -F image=@{face} {url}/v1/face-emotion
  curl -F image_a=@{one} -F image_b=@{two} {url}/v1/similarity
  curl -F image=@{scene} -o cut-out.png {url}/v1/background
  curl -F image=@{scene} -o on-blue.png '{url}/v1/background?color=%233366ff'
"""


if __name__ == "__main__":
    sys.exit(main())
