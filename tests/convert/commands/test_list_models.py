"""`convert list` takes no noticeable time: it reads recipe files and runs none."""

import subprocess
import sys
from pathlib import Path

import pytest

from convert import recipe
from convert.commands import list_models
from convert.errors import RecipeError
from tests.convert.support.command_line import PROJECT

FRAMEWORKS = {"torch", "tensorflow", "keras", "tf2onnx", "transformers", "optimum", "librosa"}


def modules_after(code: str) -> set[str]:
    """Run code in a new interpreter; return the top-level modules that it has loaded."""
    whole = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", whole], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_list_imports_no_framework_and_nothing_slow() -> None:
    loaded = modules_after("from convert.__main__ import main\nassert main(['list']) == 0")
    assert "convert" in loaded
    # the package runtime is loaded, and imports these when they are needed
    assert loaded.isdisjoint({*FRAMEWORKS, "onnx", "onnxruntime", "numpy", "cv2"})


def test_recipes_import_no_framework() -> None:
    loaded = modules_after("from convert import recipe\nprint(len(recipe.default_recipes()))")
    assert "onnx" in loaded
    assert loaded.isdisjoint(FRAMEWORKS)


def test_list_prints_the_fields_of_the_recipes() -> None:
    expected = []
    for model_id in recipe.model_ids():
        fields = recipe.find(model_id).recipe
        expected.append(f"{model_id:32} {fields.task:26} {fields.description}")
    assert list(list_models.lines()) == expected
    assert len(expected) >= 8


def test_recipe_with_computed_fields_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_models, "MODELS", tmp_path)
    text = (recipe.MODELS / "background_u2netp.py").read_text(encoding="utf-8")
    path = tmp_path / "computed.py"
    path.write_text(text.replace('description="', 'description="Computed: " + "'))
    (line,) = list_models.lines()
    assert line.split(maxsplit=2)[2].startswith("Computed: Foreground alpha")
    path.write_text("RECIPE = Recipe(")
    with pytest.raises(RecipeError, match="SyntaxError"):
        list(list_models.lines())
