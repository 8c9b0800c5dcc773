"""Run the commands of the pages about operations, in their order, with tiny models."""

import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from serve.commands.table import find_command
from serve.settings import Settings
from tests.serve.commands.test_plan import measure
from tests.serve.support.server import running
from tests.support.artifacts import CLASSIFIER, EMBEDDING, write_artifact
from tests.support.documents import shell_lines
from tests.support.server_process import PROJECT, environment

PAGES = tuple(
    PROJECT / "deploy" / name for name in ("OPERATIONS.md", "SCALE.md", "kubernetes/README.md")
)
PYTHON, URL = ".venv/bin/python", "http://127.0.0.1:8000"
LINES = [line for line, _ in shell_lines(*PAGES)]
PATIENCE_S = 30.0  # for the server to follow a route


@dataclass(frozen=True, slots=True)
class Place:
    """The directory of the commands, and the server that they ask."""

    folder: Path
    url: str

    def run(self, line: str) -> int:
        """Run a line, a command of the server in this process; return its exit code."""
        words = shlex.split(line.replace(URL, self.url))
        if words[:3] == [PYTHON, "-m", "serve"] and (main := find_command(words[3:])):
            return main(words[4:])
        if words[0] == PYTHON:
            words[0] = sys.executable
        environ = environment(PYTHONPATH=str(PROJECT))
        return subprocess.run(words, cwd=self.folder, env=environ, check=False).returncode


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Serve two versions of a model, and another."""
    folder = tmp_path_factory.mktemp("operations")
    artifacts = folder / "artifacts"
    for version in (1, 2):
        measure(write_artifact(artifacts, CLASSIFIER, version=version), {"1": 0.2})
    measure(write_artifact(artifacts, EMBEDDING), {"1": 1.2})
    with running(Settings(artifacts=artifacts)) as client:
        yield Place(folder, str(client.base_url).rstrip("/"))


def test_the_pages_have_commands_of_each_kind() -> None:
    parts = ("serve plan", "serve route", "serve ab", "serve key", "serve doctor", "serve --check")
    assert [part for part in parts if not any(part in line for line in LINES)] == []
    assert all(line.startswith((PYTHON, "curl ")) for line in LINES)


def test_every_command_of_the_pages_succeeds_in_their_order(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    monkeypatch.chdir(place.folder)
    monkeypatch.delenv("SLIPWAY_ARTIFACTS", raising=False)
    for line in LINES:
        code = place.run(line)
        deadline = time.monotonic() + PATIENCE_S
        while "serve ab" in line and code and time.monotonic() < deadline:
            time.sleep(0.3)
            code = place.run(line)
        assert code == 0, line
    with tarfile.open("slipway-debug.tar.gz") as archive:
        assert "slipway-debug/server/metrics.txt" in archive.getnames()
    capsys.readouterr()
    place.run(f"{PYTHON} -m serve route show")
    assert "face_emotion_xception: version 1" in capsys.readouterr().out  # rolled back


def test_the_page_explains_every_reason_for_which_the_server_refuses_work() -> None:
    sources = [path for name in ("serve", "runtime") for path in (PROJECT / name).rglob("*.py")]
    raised = {
        word
        for path in sources
        for word in re.findall(r'\breason="([a-z_]+)"', path.read_text(encoding="utf-8"))
    }
    page = PAGES[0].read_text(encoding="utf-8")
    rows = "\n".join(line for line in page.splitlines() if line.startswith("| `"))
    assert len(raised) > 5
    assert [word for word in sorted(raised) if f"`{word}`" not in rows] == []


def test_the_page_has_a_remedy_for_every_alert() -> None:
    alerts = (PROJECT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8")
    names = re.findall(r"- alert: (\w+)", alerts)
    page = PAGES[0].read_text(encoding="utf-8")
    assert [name for name in names if name not in page] == []
