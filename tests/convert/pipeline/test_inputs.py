"""A conversion resolves its inputs once: runs of the recipe file, hashes of files."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from convert.errors import RecipeError
from convert.files import sha256
from convert.pipeline.inputs import read_recipe, resolve
from convert.pipeline.job import Job
from convert.pipeline.stages import run_stages
from convert.recipe import read
from convert.samples import sets
from tests.convert.support.calibration_images import write_images
from tests.convert.support.command_line import succeed
from tests.convert.support.tiny import write_checkpoint, write_recipe

LOG = """
with open(__file__ + ".log", "a") as log:
    log.write("run\\n")
"""


def runs(recipe_path: Path) -> int:
    return len(recipe_path.with_name(f"{recipe_path.name}.log").read_text().splitlines())


def test_a_recipe_file_runs_once_in_each_process(tmp_path: Path) -> None:
    recipe_path = write_recipe(tmp_path, extra=LOG)
    arguments = ("--recipe", recipe_path, "--weights", "seeded", "--precision", "float")
    assert "packaged" in succeed(*arguments, directory=tmp_path)
    assert runs(recipe_path) == 2  # the command and the process of the conversion
    assert "unchanged" in succeed(*arguments, directory=tmp_path)
    assert runs(recipe_path) == 3  # an unchanged conversion starts no process


def test_each_calibration_file_is_hashed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe_path = write_recipe(tmp_path)
    write_checkpoint(recipe_path, tmp_path / "weights.pth")
    images = write_images(tmp_path / "images", 9)
    hashed: Counter[Path] = Counter()

    def count(path: Path) -> str:
        hashed[path] += 1
        return sha256(path)

    monkeypatch.setattr(sets, "sha256", count)
    recipe_file = read(recipe_path)
    job = Job(
        recipe_file,
        tmp_path / "out",
        checkpoint=tmp_path / "weights.pth",
        calibration=images,
        precision="float",
    )
    outcome = run_stages(resolve(job), recipe_file, lambda stage: None)
    assert outcome.status == "packaged"
    assert sorted(hashed) == sorted(images.iterdir())
    assert set(hashed.values()) == {1}


def test_a_recipe_that_changes_meanwhile_is_refused(tmp_path: Path) -> None:
    recipe_path = write_recipe(tmp_path)
    inputs = resolve(Job(read(recipe_path), tmp_path / "out", weights="seeded"))
    assert read_recipe(inputs).id == "where_is_it"
    with pytest.raises(RecipeError, match="changed while it was being converted"):
        read_recipe(replace(inputs, recipe_sha256="0" * 64))
