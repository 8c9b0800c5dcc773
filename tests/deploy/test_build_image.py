"""Run deploy/build-image.sh with builders that print their arguments."""

import subprocess
from pathlib import Path

import pytest

from serve import __version__

SCRIPT = Path(__file__).parents[2] / "deploy" / "build-image.sh"
SYSTEM = "/usr/bin:/bin"
EPOCH = "SOURCE_DATE_EPOCH"


def builder(folder: Path, name: str, *, works: bool = True) -> None:
    """Write a program that prints its arguments, or exits with 1 if it does not work."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{'' if works else 'exit 1'}\nprintf '%s\\n' {name} \"$@\"\n")
    program.chmod(0o755)


def build(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(SCRIPT), *arguments],
        env={"PATH": f"{folder}:{SYSTEM}", **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def no_real_builder(tmp_path: Path) -> Path:
    """Return a folder for PATH in which every known builder fails, whatever this machine has."""
    for name in ("docker", "podman", "buildah"):
        builder(tmp_path, name, works=False)
    return tmp_path


def test_the_first_builder_that_works_is_used(no_real_builder: Path) -> None:
    builder(no_real_builder, "podman")
    builder(no_real_builder, "buildah")
    called = build(no_real_builder).stdout.splitlines()
    assert called[:4] == ["podman", "build", "--format", "docker"]


def test_a_named_builder_is_used_without_trying_it(no_real_builder: Path) -> None:
    builder(no_real_builder, "podman")
    builder(no_real_builder, "buildah")
    assert build(no_real_builder, ENGINE="buildah").stdout.startswith("buildah\nbuild\n")


def test_names_weights_and_extra_arguments_reach_the_builder(no_real_builder: Path) -> None:
    builder(no_real_builder, "docker")
    extra = ("--label", "note=two words")
    called = build(no_real_builder, *extra, TAG="a/b:1", MODEL="m", WEIGHTS="seeded").stdout
    arguments = called.splitlines()
    assert {"a/b:1", "MODEL=m", "WEIGHTS=seeded"} <= set(arguments)
    assert arguments[-3:] == [*extra, "."]


def test_version_and_revision_are_labels(no_real_builder: Path) -> None:
    builder(no_real_builder, "docker")
    called = build(no_real_builder).stdout.splitlines()
    assert f"org.opencontainers.image.version={__version__}" in called
    if (SCRIPT.parents[1] / ".git").exists():
        assert any(line.startswith("org.opencontainers.image.revision=") for line in called)


@pytest.mark.parametrize(("environ", "expected"), [({}, "946684800"), ({EPOCH: "5"}, "5")])
def test_files_of_layers_have_one_time(
    no_real_builder: Path, environ: dict[str, str], expected: str
) -> None:
    builder(no_real_builder, "buildah")
    called = build(no_real_builder, **environ).stdout.splitlines()
    assert called[called.index("--timestamp") + 1] == expected


def test_no_builder_and_an_unknown_one_are_refused(no_real_builder: Path) -> None:
    none, unknown = build(no_real_builder), build(no_real_builder, ENGINE="kaniko")
    assert (none.returncode, unknown.returncode) == (1, 1)
    assert "no working docker, podman or buildah" in none.stderr
    assert "'kaniko'; allowed: docker, podman, buildah" in unknown.stderr
