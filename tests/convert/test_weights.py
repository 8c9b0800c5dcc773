from dataclasses import replace
from pathlib import Path

import pytest

from convert import recipe
from convert.errors import CheckpointError, LabelsError
from convert.recipe import RecipeFile
from convert.weights import Found, WeightsMode, find

MODEL = "background_u2netp"
MODES: tuple[WeightsMode, ...] = ("pretrained", "auto")


@pytest.fixture
def recipe_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecipeFile:
    monkeypatch.chdir(tmp_path)
    return recipe.find(MODEL)


def unseeded(recipe_file: RecipeFile) -> RecipeFile:
    return replace(recipe_file, recipe=replace(recipe_file.recipe, seed=None))


def place(*names: str) -> None:
    Path("checkpoints").mkdir()
    for name in names:
        Path("checkpoints", name).touch()


def test_given_checkpoint_comes_before_a_placed_one(recipe_file: RecipeFile) -> None:
    place(f"{MODEL}.pth")
    given = Path("mine.pth")
    for mode in MODES:
        assert find(recipe_file, mode, given) == Found("pretrained", given)


def test_placed_checkpoint_is_found(recipe_file: RecipeFile) -> None:
    place(f"{MODEL}.pth", "background_u2net.pth")
    found = find(recipe_file, "auto", None)
    assert found == Found("pretrained", Path("checkpoints", f"{MODEL}.pth"))


def test_two_placed_checkpoints_are_refused(recipe_file: RecipeFile) -> None:
    place(f"{MODEL}.pth", f"{MODEL}.onnx")
    with pytest.raises(CheckpointError, match=r"several checkpoints: .*\.onnx, .*\.pth; give"):
        find(recipe_file, "pretrained", None)


def test_auto_seeds_where_nothing_is_placed(recipe_file: RecipeFile) -> None:
    assert find(recipe_file, "auto", None) == Found("seeded", None)


def test_no_weights_names_the_file_to_place_and_where_to_find_it(recipe_file: RecipeFile) -> None:
    source = recipe_file.recipe.source
    assert source is not None
    with pytest.raises(CheckpointError) as caught:
        find(recipe_file, "pretrained", None)
    assert f"Place them as checkpoints/{MODEL}.pth" in str(caught.value)
    assert source.address in str(caught.value)


@pytest.mark.parametrize("mode", ["seeded", "auto"])
def test_recipe_without_seed_needs_a_checkpoint(recipe_file: RecipeFile, mode: WeightsMode) -> None:
    with pytest.raises(CheckpointError, match="give --checkpoint"):
        find(unseeded(recipe_file), mode, None)


def test_seeded_and_a_checkpoint_exclude_each_other(recipe_file: RecipeFile) -> None:
    with pytest.raises(CheckpointError, match=r"--checkpoint mine\.pth and --weights seeded"):
        find(recipe_file, "seeded", Path("mine.pth"))


@pytest.mark.parametrize("ending", ["txt", "json"])
def test_labels_file_beside_a_placed_checkpoint_is_no_second_checkpoint(
    recipe_file: RecipeFile, ending: str
) -> None:
    place(f"{MODEL}.pth", f"{MODEL}.labels.{ending}")
    found = find(recipe_file, "pretrained", None)
    assert found.path == Path("checkpoints", f"{MODEL}.pth")
    assert found.labels == Path("checkpoints", f"{MODEL}.labels.{ending}")


def test_labels_file_alone_is_no_checkpoint(recipe_file: RecipeFile) -> None:
    place(f"{MODEL}.labels.txt")
    with pytest.raises(CheckpointError, match="no weights"):
        find(recipe_file, "pretrained", None)


def test_labels_beside_a_given_checkpoint_have_its_name(
    recipe_file: RecipeFile, tmp_path: Path
) -> None:
    given = tmp_path / "run.7.best.pt"
    (tmp_path / "run.7.best.labels.json").touch()
    assert find(recipe_file, "pretrained", given).labels == tmp_path / "run.7.best.labels.json"


def test_labels_given_come_before_those_beside(recipe_file: RecipeFile) -> None:
    place(f"{MODEL}.pth", f"{MODEL}.labels.txt")
    mine = Path("mine.txt")
    assert find(recipe_file, "pretrained", None, mine).labels == mine
    assert find(recipe_file, "seeded", None, mine) == Found("seeded", None, mine)
    assert find(recipe_file, "seeded", None).labels is None


def test_two_labels_files_are_refused(recipe_file: RecipeFile) -> None:
    place(f"{MODEL}.pth", f"{MODEL}.labels.txt", f"{MODEL}.labels.json")
    with pytest.raises(LabelsError, match=r"\.txt and .*\.json: two labels files"):
        find(recipe_file, "pretrained", None)


def test_directory_of_the_models_name_is_a_checkpoint(recipe_file: RecipeFile) -> None:
    place(f"{MODEL}.labels.txt")
    directory = Path("checkpoints", MODEL)
    directory.mkdir()
    expected = Found("pretrained", directory, Path("checkpoints", f"{MODEL}.labels.txt"))
    assert find(recipe_file, "pretrained", None) == expected
    Path("checkpoints", f"{MODEL}.pth").touch()
    with pytest.raises(CheckpointError, match="several checkpoints"):
        find(recipe_file, "pretrained", None)
