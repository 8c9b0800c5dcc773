"""SIGTERM while jobs wait and run, and what the next process says of them."""

import signal
import time
from pathlib import Path

import httpx
import pytest

from tests.serve.jobs.support import accepted, ended, submit, until
from tests.support.artifacts import CLASSIFIER, SLOW, write_artifact
from tests.support.images import solid
from tests.support.server_process import Server, serving

SLOW_PATH = "/v1/models/tiny_slow"
BRIGHT = solid(255, 255, 255)  # about a second


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("slow")
    write_artifact(root, CLASSIFIER)
    write_artifact(root, SLOW)
    return root


def wait_for(server: Server, line: str) -> None:
    """Read the server's log until a line that contains this text."""
    assert server.process.stderr is not None
    for text in server.process.stderr:
        if line in text:
            return
    pytest.fail(f"the log ended without {line!r}")


def test_a_running_job_is_finished_and_fetched_after_sigterm(slow: Path) -> None:
    settings = {"SLIPWAY_ARTIFACTS": str(slow), "SLIPWAY_GRACE": "0", "SLIPWAY_STOP_TIMEOUT": "300"}
    with serving(**settings) as server:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            locations = [accepted(submit(client, SLOW_PATH, BRIGHT)) for _ in range(3)]
            until(client, locations[0], "running")
            server.process.send_signal(signal.SIGTERM)
            wait_for(server, "ending")
            refused = submit(client, SLOW_PATH, BRIGHT)
            assert refused.status_code == 503
            assert "accepts no more jobs" in refused.json()["error"]
            for location in locations:
                job = ended(client, location)
                assert job["state"] == "done"
                assert client.get(job["result"]).json()["result"]["label"] == "bright"
        start_s = time.monotonic()
        assert server.process.wait(timeout=20) == 0
        assert time.monotonic() - start_s < 5.5  # at once, not when the last look is given up


def test_jobs_that_do_not_end_in_time_are_lost_and_the_next_process_says_so(slow: Path) -> None:
    settings = {"SLIPWAY_ARTIFACTS": str(slow), "SLIPWAY_GRACE": "0", "SLIPWAY_STOP_TIMEOUT": "3"}
    with serving(**settings) as server:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            locations = [accepted(submit(client, SLOW_PATH, BRIGHT)) for _ in range(30)]
        server.process.send_signal(signal.SIGTERM)
        wait_for(server, "jobs are lost")
        assert server.process.wait(timeout=20) == 0
    with serving(**settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        for path in (locations[-1], f"{locations[0]}/result"):
            response = client.get(path)
            assert response.status_code == 410
            assert "lost when their process ends" in response.json()["error"]


def test_a_server_without_jobs_ends_after_its_grace(slow: Path) -> None:
    with serving(SLIPWAY_ARTIFACTS=str(slow), SLIPWAY_GRACE="0") as server:
        server.process.send_signal(signal.SIGTERM)
        wait_for(server, "Shutting down")
        assert server.process.wait(timeout=20) == 0
