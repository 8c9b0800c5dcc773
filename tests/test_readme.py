"""Every command of the README runs, and what it shows as output is what comes out.

Runs in a copy of the checkout, so that nothing is left in this one. `make demo` really converts.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.ports import free_port

PROJECT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ENVIRONMENTS = (".venv", ".venv-convert")
# never rebuilds the environments, which are this checkout's, however old their stamps are
MAKE = ("make", "-o", ".venv/.installed", "-o", ".venv-convert/.installed")
START_S = 600  # of `make demo`: it converts first
TOLERANCE = 0.02  # INT8 of other CPUs and libraries, on probabilities and cosines
DATA = os.environ.get("SLIPWAY_TEST_DATA")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all((PROJECT / name / ".installed").exists() for name in ENVIRONMENTS),
        reason="both environments are needed: make lint creates them",
    ),
]


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    output: str | None  # the JSON block right after it


def blocks() -> list[Block]:
    found = list(BLOCK.finditer((PROJECT / "README.md").read_text(encoding="utf-8")))
    result = []
    for index, match in enumerate(found):
        after = found[index + 1] if index + 1 < len(found) else None
        adjoins = after is not None and after.start() == match.end() + 1
        output = after[2] if after is not None and adjoins and after[1] == "json" else None
        result.append(Block(match[1], match[2], output))
    return result


def commands(start: str) -> list[tuple[str, str | None]]:
    """Shell lines that begin with `start`, the last of a block with the output shown."""
    result = []
    for block in blocks():
        if block.language == "sh":
            lines = block.text.strip().splitlines()
            pairs = [(line, None) for line in lines[:-1]] + [(lines[-1], block.output)]
            result += [pair for pair in pairs if pair[0].startswith(start)]
    return result


def copy_of_checkout(target: Path) -> Path:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (PROJECT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, target / name)
    for name in ENVIRONMENTS:
        (target / name).symlink_to(PROJECT / name)
    return target


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
    """`make demo`, running: its directory and port."""
    directory, port = copy_of_checkout(tmp_path_factory.mktemp("demo")), free_port()
    process = make_server("demo", directory, port)
    try:
        wait_until_ready(process, port)
        yield directory, port
    finally:
        end(process)


def run(line: str, directory: Path) -> str:
    done = subprocess.run(shlex.split(line), cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def assert_same(found: Any, shown: Any, place: str = "output") -> None:
    if isinstance(shown, dict):
        assert isinstance(found, dict), place
        assert found.keys() == shown.keys(), place
        for key, value in shown.items():
            assert_same(found[key], value, f"{place}.{key}")
    elif isinstance(shown, list):
        assert len(found) == len(shown), place
        for index, value in enumerate(shown):
            assert_same(found[index], value, f"{place}[{index}]")
    elif isinstance(shown, float):
        assert found == pytest.approx(shown, abs=TOLERANCE), place
    elif place.endswith(".digest"):
        assert re.fullmatch("[0-9a-f]{64}", found), place
    else:
        assert found == shown, place


def test_every_shell_line_is_of_a_kind_that_is_run_here() -> None:
    kinds = (
        "make demo", "make test", "make serve", "curl ", ".venv-convert/bin/python -m convert ",
        ".venv/bin/python -m runtime ", ".venv/bin/python -m deploy.check ",
    )  # fmt: skip
    for block in blocks():
        for line in block.text.strip().splitlines() if block.language == "sh" else ():
            assert line.startswith(kinds), line
    assert commands("make demo")
    assert commands("make test")


@pytest.mark.parametrize(("line", "shown"), commands("curl "))
def test_curl(line: str, shown: str | None, demo: tuple[Path, int]) -> None:
    directory, port = demo
    local = line.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    answer = run(local.replace("curl ", "curl -sS ", 1), directory)
    if shown is not None:
        assert_same(json.loads(answer), json.loads(shown))
    elif " -o " in line:
        picture = directory / line.split(" -o ")[1].split()[0]
        assert picture.read_bytes()[:2] in (b"\x89P", b"\xff\xd8")
    else:
        assert "error" not in json.loads(answer)


def test_runtime_from_the_shell_and_from_python(demo: tuple[Path, int]) -> None:
    directory, _ = demo
    for line, _ in commands(".venv/bin/python -m runtime run "):
        answers = [json.loads(answer) for answer in run(line, directory).splitlines()]
        assert len(answers) == line.count(".png")
    code = next(b.text for b in blocks() if b.language == "python" and "runtime.load" in b.text)
    done = subprocess.run(
        [".venv/bin/python", "-c", code], cwd=directory, capture_output=True, text=True, check=True
    )
    label, confidence = done.stdout.split()
    assert label == "angry"
    assert float(confidence) == pytest.approx(0.2314, abs=TOLERANCE)


def test_check_of_the_running_server(demo: tuple[Path, int]) -> None:
    directory, port = demo
    for line, _ in commands(".venv/bin/python -m deploy.check "):
        table = run(line.replace(":8000", f":{port}"), directory)
        found, asked = re.findall(r"(\d+) of (\d+) as verified", table)[0]
        assert found == asked
        assert int(asked) > 20


def test_make_serve(demo: tuple[Path, int]) -> None:
    directory, port = demo[0], free_port()
    process = make_server("serve", directory, port)
    try:
        wait_until_ready(process, port)
    finally:
        end(process)


def test_make_demo_check_ends_with_0(demo: tuple[Path, int]) -> None:
    done = subprocess.run(
        [*MAKE, "demo", "CHECK=1", f"PORT={free_port()}"],
        cwd=demo[0],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("(unchanged)") == 3
    assert "seeded" in done.stdout


def test_make_test_is_a_target() -> None:
    # the real thing is what runs this file
    subprocess.run(["make", "-n", "test"], cwd=PROJECT, check=True, capture_output=True)


def test_convert_commands(tmp_path: Path) -> None:
    directory = copy_of_checkout(tmp_path)
    recipe = next(b.text for b in blocks() if b.text.startswith("# traffic_light.py"))
    (directory / "traffic_light.py").write_text(recipe)
    if DATA:
        name = "fer2013_mini_XCEPTION.102-0.66.hdf5"
        (directory / name).symlink_to(Path(DATA, "checkpoints", name))
        (directory / "faces").symlink_to(Path(DATA, "data/faces/ckplus48"))
    left_out = []
    for line, _ in commands(".venv-convert/bin/python -m convert "):
        if "face_emotion_xception" in line and not DATA:
            left_out.append(line)
            continue
        run(line, directory)
    assert (directory / "artifacts/traffic_light/1/manifest.json").is_file()
    if left_out:
        pytest.skip(f"SLIPWAY_TEST_DATA is not set: not run: {left_out}")
    assert (directory / "artifacts/face_emotion_xception/1/manifest.json").is_file()
