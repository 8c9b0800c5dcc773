"""A real server whose model sleeps for as many seconds as its input says, in place of a run.

    python -m tests.serve.commands.simulation.stub_server ARTIFACTS SLOTS QUEUE_SECONDS

It prints its URL, and ends with its standard input.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime import Model
from runtime.engine.session import Session
from serve.repository.scan import Version
from serve.settings import Settings
from tests.serve.support.server import running


class SleepingSession(Session):
    """A session whose run takes the seconds of `values`, and returns those that it took."""

    def __init__(self) -> None:
        """Load nothing."""
        self.provider, self.operators_by_provider = "cpu", {"cpu": 0}
        self.first_run_s = 0.05

    def _run(
        self, names: Sequence[str], feeds: dict[str, NDArray[np.generic]]
    ) -> Sequence[NDArray[np.generic]]:
        start_s = time.perf_counter()
        time.sleep(float(feeds["values"][0, 0]))
        slept_s = np.full((1, 2), time.perf_counter() - start_s, np.float32)
        return [slept_s if name == "quotients" else feeds["counts"] for name in names]


def load(version: Version) -> Model:
    """Return a version whose session sleeps."""
    manifest = version.manifest
    return Model(manifest, manifest.spec, manifest.variants[0], SleepingSession())


def main(artifacts: str, slots: str, queue_s: str) -> None:
    """Serve until the standard input ends."""
    settings = Settings(
        artifacts=Path(artifacts), runs=int(slots), queue_s=int(queue_s), max_batch=1, log="off"
    )
    with running(settings, load=load) as client:
        print(str(client.base_url).rstrip("/"), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
