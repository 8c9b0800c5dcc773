"""`convert.authoring`: what it offers, that importing it is free, and that recipes need no more."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from convert import authoring
from tests.convert.support.command_line import PROJECT

# what a recipe of the project may import besides, of the project: networks, and shared loading
OTHER_IMPORTS = ("convert.architectures.", "convert.models.shared.")
RECIPES = sorted((PROJECT / "convert/models").glob("*.py")) + sorted(
    (PROJECT / "convert/models/shared").glob("*.py")
)
PAGES = ("convert/README.md", "convert/GAIT.md", "README.md")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def imported_modules(text: str) -> set[str]:
    """Return the modules of this project that Python code imports, also inside functions."""
    nodes = list(ast.walk(ast.parse(text)))
    names = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name for name in names if name.partition(".")[0] in ("convert", "runtime")}


def test_the_guide_lists_every_name() -> None:
    page = (PROJECT / "convert/README.md").read_text(encoding="utf-8")
    section = page.partition("## What `convert.authoring` offers")[2].partition("\n## ")[0]
    rows = [line.split("|")[2] for line in section.splitlines() if line.startswith("| ")]
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(names) == sorted(authoring.__all__)


def test_importing_it_loads_nothing_else() -> None:
    code = (
        "import sys; before = set(sys.modules); import convert.authoring\n"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))\n"
        "print(*sorted(name for name in sys.modules if name.startswith('convert')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    packages, modules = done.stdout.splitlines()
    assert {"numpy", "onnx", "torch", "runtime", "cv2"}.isdisjoint(packages.split())
    assert modules.split() == ["convert", "convert.authoring"]


@pytest.mark.parametrize("name", authoring.__all__)
def test_each_name_exists_and_is_its_definition(name: str) -> None:
    value = getattr(authoring, name)
    assert value is getattr(authoring, name)
    assert name in dir(authoring)


def test_a_name_is_the_object_of_its_module() -> None:
    from convert.recipe import Recipe

    assert authoring.Recipe is Recipe


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ImportError, match=r"cannot import name 'Resise' from 'convert\.authoring'"):
        exec("from convert.authoring import Resise")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_import_from_it_alone(path: Path) -> None:
    others = imported_modules(path.read_text(encoding="utf-8")) - {"convert.authoring"}
    assert [name for name in others if not name.startswith(OTHER_IMPORTS)] == []


@pytest.mark.parametrize("page", PAGES)
def test_recipes_of_the_guides_import_from_it_alone(page: str) -> None:
    blocks = BLOCK.findall((PROJECT / page).read_text(encoding="utf-8"))
    recipes = [block for block in blocks if "RECIPE = Recipe(" in block]
    assert recipes
    for block in recipes:
        assert imported_modules(block) == {"convert.authoring"}
