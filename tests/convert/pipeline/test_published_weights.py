"""Published weights through a whole conversion, and the command line where they cannot be had."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from convert.pipeline.job import Job, Outcome
from convert.pipeline.subprocess_runner import run
from convert.recipe import read
from convert.weights.download import Store
from runtime.artifact.manifest import read_manifest
from tests.convert.support.command_line import command, environment
from tests.convert.support.file_server import GoodFile, Server
from tests.convert.support.tiny import write_checkpoint, write_recipe

ID = "where_is_it"
PUBLISHED = """
from dataclasses import replace
from convert.sources import Source
RECIPE = replace(RECIPE, source=Source({address!r}, licence="MIT"))
"""


def write_published(directory: Path, address: str) -> Path:
    return write_recipe(directory, extra=PUBLISHED.format(address=address))


def run_with_stages(job: Job, store: Store) -> tuple[Outcome, list[str]]:
    stages: list[str] = []
    (outcome,) = run([job], lambda model, stage: stages.append(str(stage)), store)
    return outcome, stages


def test_fetched_weights_are_converted_and_named(
    server: Server, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_checkpoint(write_recipe(tmp_path), tmp_path / "weights.pth")
    address = server.serve("/net.pth", GoodFile((tmp_path / "weights.pth").read_bytes()))
    job = Job(read(write_published(tmp_path, address)), tmp_path / "out", precision="float")
    outcome, _ = run_with_stages(job, store)
    assert outcome.status == "packaged", outcome.message
    weights = read_manifest(tmp_path / "out" / ID / "1").weights
    assert (weights.origin, weights.source) == ("pretrained", address)
    server.handlers.clear()
    assert run_with_stages(job, replace(store, network=None))[0].status == "unchanged"


def test_one_refused_model_does_not_stop_the_next(
    server: Server, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = write_published(tmp_path, server.address("/nothing"))
    jobs = [Job(read(recipe), tmp_path / "out") for _ in "ab"]
    outcomes = run(jobs, lambda model, stage: None, store)
    assert [outcome.status for outcome in outcomes] == ["refused"] * 2
    assert outcomes[0].message.endswith("/nothing (MIT): status 404, nothing is there")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("weights", ["pretrained", "auto"])
def test_command_line_without_a_network(server: Server, tmp_path: Path, weights: str) -> None:
    """Use a host without HTTPS in place of one that cannot be reached."""
    address = server.address("/net.pth").replace("http:", "https:")
    recipe = write_published(tmp_path, address)
    if weights == "auto":  # without seeded weights there is nothing to fall back to: quick
        recipe.write_text(recipe.read_text() + "RECIPE = replace(RECIPE, seed=None)\n")
    done = subprocess.run(
        command("--recipe", recipe, "--weights", weights),
        cwd=tmp_path,
        env={**environment(), "SLIPWAY_OFFLINE": "", "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 1
    announced, stages = done.stderr.splitlines()
    assert announced == f"net.pth: from {address}"
    assert stages.startswith(f"convert: {ID} refused: {ID}: no weights. Place them as checkpoints/")
    assert f"Published at {address} (MIT): no answer (" in stages
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["artifacts", "cache", recipe.name]
    assert not (tmp_path / "artifacts" / ID).exists()  # the report alone
