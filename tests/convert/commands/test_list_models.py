"""`convert list` is instant: it reads recipe files and runs none."""

import subprocess
import sys
from pathlib import Path

import pytest

from convert import recipe
from convert.commands import list_models as listing
from convert.errors import RecipeError
from tests.convert.support.command_line import PROJECT

FRAMEWORKS = {"torch", "tensorflow", "keras", "tf2onnx", "transformers", "optimum", "librosa"}


def modules_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after running code."""
    whole = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", whole], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_list_imports_no_framework_and_nothing_slow() -> None:
    loaded = modules_after("from convert.__main__ import main\nassert main(['list']) == 0")
    assert "convert" in loaded
    assert loaded.isdisjoint({*FRAMEWORKS, "onnx", "onnxruntime", "numpy", "cv2", "runtime"})


def test_recipes_import_no_framework() -> None:
    loaded = modules_after("from convert import recipe\nprint(len(recipe.default_recipes()))")
    assert "onnx" in loaded
    assert loaded.isdisjoint(FRAMEWORKS)


def test_list_says_what_the_recipes_say() -> None:
    expected = []
    for model_id in recipe.model_ids():
        found = recipe.find(model_id).recipe
        expected.append(f"{model_id:32} {found.task:26} {found.description}")
    assert list(listing.lines()) == expected
    assert len(expected) >= 8


def test_a_recipe_whose_facts_are_computed_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MODELS", tmp_path)
    text = (recipe.MODELS / "background_u2netp.py").read_text(encoding="utf-8")
    path = tmp_path / "computed.py"
    path.write_text(text.replace('description="', 'description="Computed: " + "'))
    (line,) = listing.lines()
    assert line.split(maxsplit=2)[2].startswith("Computed: Foreground alpha")
    path.write_text("RECIPE = Recipe(")
    with pytest.raises(RecipeError, match="SyntaxError"):
        list(listing.lines())
