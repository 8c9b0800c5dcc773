import sys
from pathlib import Path

import pytest

from convert.errors import RecipeError
from convert.recipe import MODELS, Tolerance, find, model_ids, read
from tests.convert.support.tiny import write_recipe


def test_model_ids_are_the_directory_listing() -> None:
    models = model_ids()
    assert "shared" not in models
    assert not {path.stem for path in (MODELS / "shared").glob("*.py")} & {*models}
    assert {"background_u2netp", "face_emotion_xception", "image_embedding_mobilenetv2"} <= {
        *models
    }
    for model_id in models:
        assert find(model_id).id == model_id


def test_unknown_model_is_refused_with_the_list_of_models() -> None:
    with pytest.raises(
        RecipeError, match=r"'nobody' has no recipe; known: background_u2net, background_u2netp, "
    ):
        find("nobody")


def test_recipe_outside_the_repository_is_read(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, model_id="my-model_2")
    recipe_file = read(path)
    assert (recipe_file.id, recipe_file.recipe.task) == ("my-model_2", "image-classification")


def test_recipe_may_define_dataclasses_with_postponed_annotations(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    write_recipe(tmp_path, model_id="mine")
    text = path.read_text(encoding="utf-8")
    extra = "\n\n@dataclass(frozen=True, slots=True)\nclass Size:\n    height: int\n"
    head = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    path.write_text(head + text + extra, encoding="utf-8")
    assert read(path).id == "mine"


def test_the_hash_is_of_the_code_that_runs(tmp_path: Path) -> None:
    # two texts of one size within one second: Python would run the cached code of the first
    first = read(write_recipe(tmp_path, distance=0.1))
    second = read(write_recipe(tmp_path, distance=0.3))
    assert second.recipe.tolerance.at_most == {"probability_distance": 0.3}
    assert first.sha256 != second.sha256
    assert [path.name for path in tmp_path.iterdir()] == [second.path.name]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("Mine.py", "", "the stem is the model id; allowed: "),
        ("mine.txt", "", "the stem is the model id; allowed: "),
        ("mine.py", "RECIPE = 3", "RECIPE is int; needed: a convert.recipe.Recipe"),
        ("mine.py", "", "RECIPE is NoneType"),
        ("mine.py", "1 / 0", "ZeroDivisionError: division by zero"),
        ("mine.py", "import nothing_of_that_name", "ModuleNotFoundError"),
        ("mine.py", "def", "SyntaxError"),
        (
            "mine.py",
            "from convert.authoring import *\n"
            "Recipe('classification', 'd', 'MIT', None, Tolerance(), 'scene')",
            "task is 'classification'; allowed: image-classification, ",
        ),
        (
            "mine.py",
            "from convert.authoring import *\n"
            "Recipe('image-classification', 'd', 'MIT', None, Tolerance(), 'photo')",
            "media is 'photo'; allowed: scene, face, voice, walker, sentence",
        ),
    ],
)
def test_broken_recipe_files_are_refused(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "from convert.numerics import ImageInput, Probabilities",  # the module has moved
        "from convert.checkpoint import Probabilities, ImageInput",  # the name has moved
        "from runtime.manifest import Probabilities, ImageInput",
        "def load(path):\n    from convert.numerics import Probabilities, ImageInput",
    ],
)
def test_imports_of_an_older_layout_are_refused_with_the_line_to_write(
    tmp_path: Path, line: str
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"import numpy\n{line}\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"mine\.py: .*(no module|cannot import name) ") as caught:
        read(path)
    assert "`from convert.authoring import ImageInput, Probabilities`" in str(caught.value)


def test_a_missing_package_is_not_taken_for_an_older_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as in the deployed environment, which has no onnx
    monkeypatch.setitem(sys.modules, "onnx", None)
    for name in [name for name in sys.modules if name.startswith("convert.export")]:
        monkeypatch.delitem(sys.modules, name)
    path = tmp_path / "mine.py"
    path.write_text("from convert.export.frameworks.torch_module import TorchNetwork\n")
    with pytest.raises(RecipeError, match=r"ModuleNotFoundError: .*onnx") as caught:
        read(path)
    assert "no module 'convert" not in str(caught.value)
    assert "convert.authoring" not in str(caught.value)


def test_a_missing_module_of_the_user_is_refused_with_the_way_to_import_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("from convert.authoring import Recipe\nimport nothing_of_that_name\n")
    with pytest.raises(
        RecipeError, match=r"No module named 'nothing_of_that_name'; for a"
    ) as caught:
        read(path)
    assert str(caught.value).endswith("PYTHONPATH=<its folder> before the command")
    assert "convert.authoring" not in str(caught.value)


def test_networks_of_the_project_are_not_part_of_authoring(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from convert.architectures.u2net import u2net\nfrom convert.no import Recipe\n"
    )
    with pytest.raises(RecipeError, match=r"`from convert\.authoring import Recipe`"):
        read(path)


def test_a_renamed_field_is_refused_by_its_new_name(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, extra="\nRecipe(drawn=None)\n")
    with pytest.raises(RecipeError, match="'drawn'; the field of Recipe is now called 'synthetic_"):
        read(path)


def test_a_package_as_part_of_a_hub_source_is_refused_by_its_own_field(tmp_path: Path) -> None:
    extra = "\nfrom convert.authoring import HubSource\nHubSource('a/b', 'MIT', (), package='p')\n"
    path = write_recipe(tmp_path, extra=extra)
    with pytest.raises(RecipeError, match=r"'package'; a package has a field of its own: Recipe\."):
        read(path)


def test_missing_recipe_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"mine\.py: no such recipe file"):
        read(tmp_path / "mine.py")


def test_tolerance_names_each_violated_bound() -> None:
    tolerance = Tolerance(at_least={"iou_mean": 0.9, "cosine_mean": 0.5}, at_most={"mae": 0.01})
    assert tolerance.violations({"iou_mean": 0.9, "cosine_mean": 0.5, "mae": 0.01}) == []
    assert tolerance.violations({"iou_mean": 0.8, "cosine_mean": 0.6, "mae": 0.02}) == [
        "iou_mean 0.8000 < 0.9",
        "mae 0.0200 > 0.01",
    ]


def test_nan_violates_every_bound() -> None:
    tolerance = Tolerance(at_least={"iou_mean": 0.9}, at_most={"mae": 0.01})
    assert len(tolerance.violations({"iou_mean": float("nan"), "mae": float("nan")})) == 2


def test_bounds_on_missing_metrics_are_skipped() -> None:
    tolerance = Tolerance(at_least={"top1_agreement": 0.9, "cosine_mean": 0.9})
    assert tolerance.violations({"cosine_mean": 0.95}) == []
    assert tolerance.violations({"cosine_mean": 0.85}) == ["cosine_mean 0.8500 < 0.9"]


def test_tolerance_refuses_unknown_metrics() -> None:
    with pytest.raises(RecipeError, match=r"names 'top1'; measured: top1_agreement"):
        Tolerance(at_least={"top1": 0.9})
