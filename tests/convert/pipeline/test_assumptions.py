"""Facts that a checkpoint does not hold: stated by an option, or assumed with a warning."""

import json
from pathlib import Path

import pytest

from convert.commands.report.facts import gather
from convert.errors import RecipeError
from convert.pipeline.inputs import resolve
from convert.pipeline.job import Job
from convert.recipe import find, read
from runtime.artifact.manifest import Assumption, read_manifest
from tests.convert.support.command_line import convert, refuse
from tests.convert.support.tiny import write_checkpoint, write_recipe

EXTRA = """

from dataclasses import replace
from convert.authoring import Assumption


def load_as(path, *, arch=None):
    fact = Assumption("arch", arch or "wide", "option" if arch else "default", "assumed: wide")
    return replace(load(path), assumptions=(fact,))


RECIPE = replace(RECIPE, load=load_as, options=("arch",))
"""
ID = "where_is_it"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("recipe"), extra=EXTRA)


@pytest.fixture(scope="module")
def checkpoint(recipe: Path) -> Path:
    write_checkpoint(recipe, recipe.with_name("weights.pth"))
    return recipe.with_name("weights.pth")


def test_an_assumption_warns_until_it_is_stated(
    recipe: Path, checkpoint: Path, tmp_path: Path
) -> None:
    arguments = ("--recipe", recipe, "--checkpoint", checkpoint, "--precision", "float")
    for _ in range(2):  # the second run is recalled, and warns as well
        done = convert(*arguments, directory=tmp_path)
        assert done.returncode == 0
        assert done.stderr == f"convert: warning: {ID}: assumed: wide\n"
    assert "(unchanged)" in done.stdout
    stated = convert(*arguments, "--arch", "narrow", directory=tmp_path)
    assert (stated.returncode, stated.stderr) == (0, "")

    first, second = (read_manifest(tmp_path / "artifacts" / ID / n) for n in ("1", "2"))
    assert first.assumptions == (Assumption("arch", "wide", "default", "assumed: wide"),)
    assert (second.assumptions[0].value, second.assumptions[0].origin) == ("narrow", "option")
    assert first.digest != second.digest

    (model,) = gather(tmp_path / "artifacts").models
    assert model.assumptions == second.assumptions
    page = (tmp_path / "artifacts/report.html").read_text(encoding="utf-8")
    assert "(option): <bdi>assumed: wide</bdi>" in page


def test_an_earlier_manifest_has_no_assumptions(
    recipe: Path, checkpoint: Path, tmp_path: Path
) -> None:
    arguments = ("--recipe", recipe, "--checkpoint", checkpoint, "--precision", "float")
    assert convert(*arguments, directory=tmp_path).returncode == 0
    path = tmp_path / "artifacts" / ID / "1" / "manifest.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["assumptions"]
    path.write_text(json.dumps(content), encoding="utf-8")
    assert read_manifest(path.parent).assumptions == ()


def test_an_option_that_the_recipe_does_not_read_is_refused(
    recipe: Path, checkpoint: Path, tmp_path: Path
) -> None:
    job = Job(read(recipe), tmp_path, checkpoint=checkpoint, options={"input_scale": "raw"})
    with pytest.raises(RecipeError, match="--input-scale is no option of this model"):
        resolve(job)
    minilm = Job(find("clinical_text_minilm"), tmp_path, labelled=tmp_path)
    with pytest.raises(RecipeError, match="--labelled judges classes, boxes and masks"):
        resolve(minilm)
    seeded = Job(read(recipe), tmp_path, weights="seeded", options={"arch": "wide"})
    with pytest.raises(RecipeError, match="--arch and --weights seeded exclude each other"):
        resolve(seeded)


def test_options_change_the_hash_of_what_was_read(
    recipe: Path, checkpoint: Path, tmp_path: Path
) -> None:
    keys = {
        resolve(Job(read(recipe), tmp_path, checkpoint=checkpoint, options=options)).key
        for options in ({}, {"arch": "a"}, {"arch": "b"})
    }
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--input-mean", "0.5"), "--input-mean and --input-std belong together"),
        (
            ("--input-mean", "0.5", "--input-std", "0.5", "--input-scale", "raw"),
            "--input-scale and --input-mean exclude each other",
        ),
        (("background_u2net", "--arch", "x"), "--arch belongs to one model; 2 were asked for"),
    ],
)
def test_contradicting_options_are_refused(
    recipe: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    assert message in refuse("--recipe", recipe, *arguments, directory=tmp_path)
