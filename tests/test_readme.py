"""Run every command of the documents and compare its output with the output that they show.

The commands run in a copy of the checkout, so that they leave no files here. `make demo` really
converts five models.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkout import ENVIRONMENTS, copy_of_checkout
from tests.support.documents import read_blocks, shell_lines, without_deprecated
from tests.support.ports import free_port

PROJECT = Path(__file__).parents[1]
DOCUMENTS = tuple(PROJECT / name for name in ("README.md", "deploy/README.md"))
# -o: make takes the environments as up to date. It would otherwise rebuild those of this checkout,
# which the copy links to, if requirements/*.txt are newer.
MAKE = ("make", "-o", ".venv/.installed", "-o", ".venv-convert/.installed")
START_S = 1800  # time limit of `make demo`, which converts first
TOLERANCE = 0.02  # of probabilities and cosines: INT8 differs between CPUs and library versions
DATA = os.environ.get("SLIPWAY_TEST_DATA")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all((PROJECT / name / ".installed").exists() for name in ENVIRONMENTS),
        reason="both environments are needed: make lint creates them",
    ),
]


def commands(start: str) -> list[tuple[str, str | None]]:
    """Return the shell lines that begin with `start`, each with the output that follows it."""
    return [line for line in shell_lines(*DOCUMENTS) if line[0].startswith(start)]


def wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"ended with {process.returncode}"
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError(f"not ready after {START_S} s")


def make_server(target: str, directory: Path, port: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "SLIPWAY_ALLOW_SEEDED": "1"}
    environment.pop("MAKEFLAGS", None)
    return subprocess.Popen(
        [*MAKE, target, f"PORT={port}"], cwd=directory, env=environment, start_new_session=True
    )


def end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(timeout=40)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """Run `make demo`; return its directory and port."""
    directory, port = copy_of_checkout(tmp_path_factory.mktemp("demo")), free_port()
    process = make_server("demo", directory, port)
    try:
        wait_until_ready(process, port)
        yield directory, port
    finally:
        end(process)


def run(line: str, directory: Path) -> str:
    process = subprocess.run(shlex.split(line), cwd=directory, capture_output=True, text=True)
    assert process.returncode == 0, f"{line}\n{process.stdout}\n{process.stderr}"
    return process.stdout


def assert_same(actual: Any, expected: Any, place: str = "output") -> None:
    """Compare JSON values: floats within TOLERANCE; of a digest, only that it is one."""
    if isinstance(expected, dict):
        assert isinstance(actual, dict), place
        assert actual.keys() == expected.keys(), place
        for key, value in expected.items():
            assert_same(actual[key], value, f"{place}.{key}")
    elif isinstance(expected, list):
        assert len(actual) == len(expected), place
        for index, value in enumerate(expected):
            assert_same(actual[index], value, f"{place}[{index}]")
    elif isinstance(expected, float):
        assert actual == pytest.approx(expected, abs=TOLERANCE), place
    elif place.endswith(".digest"):
        assert re.fullmatch("[0-9a-f]{64}", actual), place
    else:
        assert actual == expected, place


def test_every_shell_line_is_of_a_kind_that_is_run_here() -> None:
    kinds = (
        "make demo", "make test", "make serve", "curl ", ".venv-convert/bin/python -m convert ",
        ".venv/bin/python -m runtime ", ".venv/bin/python -m deploy.check ",
        ".venv/bin/python -m serve --check",
    )  # fmt: skip
    for line, _ in shell_lines(*DOCUMENTS):
        assert line.startswith(kinds), line
    assert commands("make demo")
    assert commands("make test")


@pytest.mark.parametrize(("line", "expected"), commands("curl "))
def test_curl(line: str, expected: str | None, demo: tuple[Path, int]) -> None:
    directory, port = demo
    local = line.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    answer = run(local.replace("curl ", "curl -sS ", 1), directory)
    if expected is not None:
        assert_same(without_deprecated(json.loads(answer)), json.loads(expected))
    elif " -o " in line:
        picture = directory / line.split(" -o ")[1].split()[0]
        assert picture.read_bytes()[:2] in (b"\x89P", b"\xff\xd8")
    else:
        assert "error" not in json.loads(answer)


def test_runtime_from_the_shell_and_from_python(demo: tuple[Path, int]) -> None:
    directory, _ = demo
    lines = commands(".venv/bin/python -m runtime run ")
    assert lines
    for line, _ in lines:
        answers = [json.loads(answer) for answer in run(line, directory).splitlines()]
        assert len(answers) == line.count(".png")
    blocks = read_blocks(*DOCUMENTS)
    code = next(b.text for b in blocks if b.language == "python" and "runtime.load" in b.text)
    process = subprocess.run(
        [".venv/bin/python", "-c", code], cwd=directory, capture_output=True, text=True, check=True
    )
    label, confidence = process.stdout.split()
    assert label == "neutral"
    assert float(confidence) == pytest.approx(0.87, abs=TOLERANCE)


def test_check_before_the_server_starts(demo: tuple[Path, int]) -> None:
    directory, _ = demo
    lines = commands(".venv/bin/python -m serve --check")
    assert lines
    for line, _ in lines:
        # port 8000 may be another program's here
        assert "face_emotion_xception" in run(f"{line} --port 0", directory)


def test_check_of_the_running_server(demo: tuple[Path, int]) -> None:
    directory, port = demo
    lines = commands(".venv/bin/python -m deploy.check ")
    assert lines
    for line, _ in lines:
        table = run(line.replace(":8000", f":{port}"), directory)
        passed, rows = re.findall(r"(\d+) of (\d+) as verified", table)[0]
        assert passed == rows
        assert int(rows) > 20


def test_make_serve(demo: tuple[Path, int]) -> None:
    directory, port = demo[0], free_port()
    process = make_server("serve", directory, port)
    try:
        wait_until_ready(process, port)
        health = json.loads(run(f"curl -sS http://127.0.0.1:{port}/health", directory))
        assert len(health["models"]) == 5
    finally:
        end(process)


def test_make_demo_check_ends_with_0(demo: tuple[Path, int]) -> None:
    process = subprocess.run(
        [*MAKE, "demo", "CHECK=1", f"PORT={free_port()}"],
        cwd=demo[0],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert process.stdout.count("(unchanged)") == 5
    assert "seeded" not in process.stdout  # every model of the demo has trained weights
    assert re.search(r"gait_student +synthetic", process.stdout)


def test_make_test_runs_both_halves_of_the_tests() -> None:
    # -n prints the commands: running them would run this file again
    process = subprocess.run(
        ["make", "-n", "test"], cwd=PROJECT, check=True, capture_output=True, text=True
    )
    assert "pytest tests --ignore tests/convert" in process.stdout
    assert "pytest tests/convert" in process.stdout


def test_convert_commands(tmp_path: Path) -> None:
    directory = copy_of_checkout(tmp_path)
    blocks = read_blocks(*DOCUMENTS)
    recipe = next(b.text for b in blocks if b.text.startswith("# traffic_light.py"))
    (directory / "traffic_light.py").write_text(recipe)
    if DATA:
        name = "fer2013_mini_XCEPTION.102-0.66.hdf5"
        (directory / "fer2013.hdf5").symlink_to(Path(DATA, "checkpoints", name))
        (directory / "faces").symlink_to(Path(DATA, "data/faces/ckplus48"))
    skipped = []
    for line, _ in commands(".venv-convert/bin/python -m convert "):
        if "face_emotion_xception" in line and not DATA:
            skipped.append(line)
            continue
        run(line, directory)
    assert (directory / "artifacts/traffic_light/1/manifest.json").is_file()
    if skipped:
        pytest.skip(f"SLIPWAY_TEST_DATA is not set: skipped: {skipped}")
    assert (directory / "artifacts/face_emotion_xception/1/manifest.json").is_file()
