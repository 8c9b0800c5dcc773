"""The container image, built with buildah in a store of its own and entered: `make test-image`.

Needs root, buildah, debootstrap and a mirror of Debian; no registry. `make test` skips this folder.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.server_process import PROJECT

CONTEXT = ("Makefile", "Dockerfile", ".dockerignore", "requirements", "convert", "runtime", "serve")


@dataclass(frozen=True, slots=True)
class Image:
    """A built image, in a store of its own."""

    name: str
    store: Path

    def buildah(self, *arguments: str) -> str:
        """Run buildah in the store; return what it prints."""
        return run("buildah", *arguments, environ=_store(self.store))

    def podman(self, *arguments: str) -> str:
        """Run podman in the store, with runc: crun refuses a machine that has both cgroups."""
        base = ("podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs")
        return run(*base, *arguments, environ=_store(self.store))

    def enter(self, *command: str, volume: str | None = None) -> str:
        """Run a command in a new container of the image, as its user; return what it prints."""
        volumes = () if volume is None else ("--volume", volume)
        with self.container() as container:
            return self.buildah("run", "--isolation", "chroot", *volumes, container, "--", *command)

    @contextmanager
    def container(self) -> Iterator[str]:
        """Make a container, and remove it in the end."""
        container = self.buildah("from", self.name).strip()
        try:
            yield container
        finally:
            self.buildah("rm", container)

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        """Mount the root file system."""
        with self.container() as container:
            yield Path(self.buildah("mount", container).strip())

    def description(self) -> dict[str, Any]:
        """Return Docker's description of the image: config, rootfs, history."""
        inspected = json.loads(self.buildah("inspect", "--type", "image", self.name))
        docker: dict[str, Any] = inspected["Docker"]
        return docker


def run(*command: str, environ: dict[str, str] | None = None) -> str:
    """Run a command and return its standard output; fail the test with what it wrote."""
    environment = {**os.environ, **(environ or {})}
    process = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=PROJECT, env=environment
    )
    assert process.returncode == 0, f"{command}: {process.stdout[-2000:]}{process.stderr[-2000:]}"
    return process.stdout


def _store(folder: Path) -> dict[str, str]:
    return {"CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"), "BUILDAH_ISOLATION": "chroot"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option; it exists where this folder is named on the command line."""
    parser.addoption("--image", action="store_true", help="build the image and enter it")


@pytest.fixture(scope="session")
def artifacts_of_image() -> Path:
    """Return the artifacts that the image packs: those of SLIPWAY_ARTIFACTS."""
    folder = Path(os.environ.get("SLIPWAY_ARTIFACTS", PROJECT / "artifacts")).resolve()
    if not any(folder.glob("*/*/manifest.json")):
        pytest.skip(f"{folder} holds no artifact: make convert, or set SLIPWAY_ARTIFACTS")
    return folder


@pytest.fixture(scope="session")
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Make a store of images, the base image in it, and a build context beside it."""
    if not request.config.getoption("--image", False):
        pytest.skip("builds an image in minutes: make test-image")
    absent = [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]
    if absent or os.getuid() != 0:
        pytest.skip(f"needs root and Debian's {' and '.join(absent) or 'buildah'}")
    folder = tmp_path_factory.mktemp("image")
    lines = f'driver = "overlay"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
    (folder / "storage.conf").write_text(f"[storage]\n{lines}")
    run(str(PROJECT / "deploy/image/debian-base.sh"), environ=_store(folder))
    # without conditions: the image's Python 3.11.2 needs a package that a later one does not
    pins = re.sub(r" ;[^\\\n]*", " ", (PROJECT / "requirements/deploy.txt").read_text())
    (folder / "deploy.txt").write_text(pins)
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps")
    options = ("--only-binary", ":all:", "--dest", str(folder / "wheels"))
    run(*pip, *options, "-r", str(folder / "deploy.txt"))
    try:
        yield folder
    finally:
        run("buildah", "rm", "--all", environ=_store(folder))
        run("buildah", "rmi", "--all", "--force", environ=_store(folder))


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """Choices of a build of the image."""

    engine: str = "buildah"
    arguments: tuple[str, ...] = ()
    writable: bool = False  # the copy is as another user's: new times, and writable for its group


def build(store: Path, artifacts: Path, name: str, options: BuildOptions) -> Image:
    """Build an image from a fresh copy of the checkout and these artifacts."""
    context = store / f"context-{name}"
    for part in (*CONTEXT, "deploy"):
        source, target = PROJECT / part, context / part
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, target)
    shutil.copytree(artifacts, context / "artifacts")
    for path in context.rglob("*") if options.writable else ():
        path.chmod(path.stat().st_mode | 0o020)
        path.touch()
    wheels = ("--volume", f"{store}/wheels:/wheels:ro", "--build-arg", "PIP_FIND_LINKS=/wheels")
    arguments = (*wheels, "--build-arg", "PIP_NO_INDEX=1", *options.arguments)
    run(
        str(context / "deploy/build-image.sh"),
        *("--target", "serve-given", *arguments),
        environ={**_store(store), "ENGINE": options.engine, "TAG": name},
    )
    shutil.rmtree(context)
    return Image(name, store)


@pytest.fixture(scope="session")
def image(store: Path, artifacts_of_image: Path) -> Image:
    """Build the image."""
    return build(store, artifacts_of_image, "slipway-test", BuildOptions())
