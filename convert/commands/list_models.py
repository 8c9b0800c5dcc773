"""What `convert list` shows, read from recipe files without running or importing anything."""

import ast
from collections.abc import Iterator
from pathlib import Path

MODELS = Path(__file__).parents[1] / "models"
SHOWN = ("task", "description")


def lines() -> Iterator[str]:
    """One for each of the project's own recipes: id, task, description.

    Raises:
        RecipeError: a recipe that has to be run to be read, and does not run.
    """
    for path in sorted(MODELS.glob("*.py")):
        if path.stem != "__init__":
            task, description = _facts(path)
            yield f"{path.stem:32} {task:26} {description}"


def _facts(path: Path) -> tuple[str, str]:
    written = _written(path)
    if written.keys() >= set(SHOWN):
        return written["task"], written["description"]
    # computed: running the file takes half a second, for all that recipes import
    from convert.recipe import read

    recipe = read(path).recipe
    return recipe.task, recipe.description


def _written(path: Path) -> dict[str, str]:
    """Those of SHOWN that stand in `RECIPE = Recipe(...)` as plain text."""
    try:
        statements = ast.parse(path.read_bytes()).body
    except SyntaxError:
        return {}
    calls = [
        statement.value
        for statement in statements
        if isinstance(statement, ast.Assign)
        and isinstance(statement.value, ast.Call)
        and any(isinstance(name, ast.Name) and name.id == "RECIPE" for name in statement.targets)
    ]
    return {
        keyword.arg: keyword.value.value
        for call in calls
        for keyword in call.keywords
        if keyword.arg in SHOWN
        and isinstance(keyword.value, ast.Constant)
        and isinstance(keyword.value.value, str)
    }
