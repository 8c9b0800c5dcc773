"""The `docker run` lines of deploy/README.md, with podman and runc."""

import json
import re
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from runtime.transport.limits import Limits
from runtime.transport.reference import parse_reference
from runtime.transport.registry import Registry
from runtime.transport.transfer import push
from tests.deploy.image.conftest import Image, run
from tests.support.images import half_white, png
from tests.support.ports import free_port
from tests.support.registry import docker_registry
from tests.support.server_process import PROJECT

START_S = 120.0
NAME = "slipway"  # of the image on the page
MODELS = ("background_u2netp", "face_emotion_xception")  # on the page
# the network of the host, and limits that a box without rights may set
HERE = ("--network", "host", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")


def commands() -> tuple[list[list[str]], list[list[str]]]:
    """Return the words of the lines with a command for the container, and of those that serve."""
    text = (PROJECT / "deploy/README.md").read_text("utf-8").replace("\\\n", " ")
    lines = re.findall(r"^ {4,}(docker run .+)$|`(docker run --rm slipway [^`]+)`", text, re.M)
    words = [shlex.split(indented or inline) for indented, inline in lines]
    return [w for w in words if w[-1] != NAME], [w for w in words if w[-1] == NAME]


def here(words: Sequence[str], image: Image, replaced: Mapping[str, str]) -> list[str]:
    """Return the arguments of podman for the words of a line."""
    assert words[:2] == ["docker", "run"]
    found = []
    for word in words[2:]:
        for old, new in replaced.items():
            word = word.replace(old, new)
        found.append(image.name if word == NAME else word)
    return [*HERE, *found]


@pytest.fixture(scope="module")
def podman(image: Image, artifacts_of_image: Path) -> Image:
    """Return the image, if podman can run it and the models of the page are in it."""
    if shutil.which("podman") is None or shutil.which("runc") is None:
        pytest.skip("needs Debian's podman and runc")
    absent = [model for model in MODELS if not (artifacts_of_image / model).is_dir()]
    if absent:
        pytest.skip(f"the artifacts of the image lack {' and '.join(absent)}")
    return image


@contextmanager
def served(podman: Image, arguments: Sequence[str], **variables: str) -> Iterator[tuple[str, str]]:
    """Run a container that serves until the block ends; give its URL and its name."""
    port = free_port()
    name = f"slipway-{port}"
    pairs = [*variables.items(), ("PORT", str(port))]
    environ = [word for key, value in pairs for word in ("--env", f"{key}={value}")]
    podman.podman("run", "--detach", "--name", name, *environ, *arguments)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_S
        while not _ready(url):
            assert time.monotonic() < deadline, podman.podman("logs", name)
            time.sleep(0.2)
        yield url, name
    finally:
        podman.podman("rm", "--force", "--ignore", "--time", "30", name)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/v2/health/ready", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def without_ports(words: Sequence[str]) -> list[str]:
    """Return the words without `--rm`, which hides how it ends, and `-p`: it has the host's."""
    place = words.index("-p")
    return [word for word in (*words[:place], *words[place + 2 :]) if word != "--rm"]


def test_the_commands_of_the_page_end_well(
    podman: Image, artifacts_of_image: Path, tmp_path: Path
) -> None:
    for label in ("happy", "sad"):
        (tmp_path / "cases" / label).mkdir(parents=True)
        (tmp_path / "cases" / label / "a.png").write_bytes(png(half_white()))
    shutil.copytree(artifacts_of_image / MODELS[1], tmp_path / "artifacts" / MODELS[1])
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    lines, _ = commands()
    answers = [
        podman.podman("run", *here(words, podman, {"$PWD": str(tmp_path)})) for words in lines
    ]
    for text in ("CycloneDX", "passed", "of 2 cases", "face_emotion_xception/1"):
        assert any(text in answer for answer in answers), text


def test_it_serves_with_the_limits_of_the_page(podman: Image, artifacts_of_image: Path) -> None:
    words = next(words for words in commands()[1] if "--memory" in words)
    assert {"--read-only", "--cap-drop", "--security-opt", "--stop-timeout"} <= set(words)
    arguments = here(without_ports(words), podman, {})
    with served(podman, arguments, SLIPWAY_ALLOW_SEEDED="1") as (url, name):
        limit = httpx.get(f"{url}/v1/memory", trust_env=False).json()["limits"][0]
        assert limit["limit_bytes"] == 512 << 20
        podman.podman("healthcheck", "run", name)
        check = ("-m", "deploy.check", "--url", url, "--artifacts", str(artifacts_of_image))
        print(run(sys.executable, *check).splitlines()[-1])
        podman.podman("stop", name)
        state = json.loads(podman.podman("inspect", name))[0]["State"]
        assert (state["ExitCode"], state["OOMKilled"]) == (0, False)


def test_it_pulls_into_the_volume_of_the_page_and_starts_without_the_registry(
    podman: Image, artifacts_of_image: Path, tmp_path: Path
) -> None:
    words = next(words for words in commands()[1] if "-v" in words)
    source = artifacts_of_image / MODELS[1]
    with docker_registry(tmp_path) as registry:
        reference = parse_reference(f"oci://127.0.0.1:{registry.port}/zoo:now")
        pushed = push(source, Registry(reference, Limits()), lambda _: None)
        replaced = {"oci://registry.example/team/zoo@sha256:DIGEST": str(pushed)}
        arguments = here(without_ports(words), podman, replaced)
        try:
            for is_there in (True, False):
                if not is_there:
                    registry.kill()
                with served(podman, arguments) as (url, name):
                    models = httpx.get(f"{url}/health", trust_env=False).json()
                    assert MODELS[1] in json.dumps(models)
                    podman.podman("stop", name)
        finally:
            podman.podman("volume", "rm", "--force", "slipway-cache")
