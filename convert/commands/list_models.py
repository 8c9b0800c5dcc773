"""`python -m convert list`: read recipe files without running them or importing their packages."""

import ast
from collections.abc import Iterator
from pathlib import Path

MODELS = Path(__file__).parents[1] / "models"
FIELDS = ("task", "description")


def lines() -> Iterator[str]:
    """Return id, task and description of each of the project's own recipes, one line each.

    Raises:
        RecipeError: a recipe that has to be run to be read, and does not run.
    """
    for path in sorted(MODELS.glob("*.py")):
        if path.stem != "__init__":
            task, description = _task_and_description(path)
            yield f"{path.stem:32} {task:26} {description}"


def _task_and_description(path: Path) -> tuple[str, str]:
    literals = _literal_fields(path)
    if literals.keys() >= set(FIELDS):
        return literals["task"], literals["description"]
    # a field is computed; running the file takes half a second for the imports of a recipe
    from convert.recipe import read

    recipe = read(path).recipe
    return recipe.task, recipe.description


def _literal_fields(path: Path) -> dict[str, str]:
    """Return those of FIELDS that `RECIPE = Recipe(...)` passes as string literals."""
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
        if keyword.arg in FIELDS
        and isinstance(keyword.value, ast.Constant)
        and isinstance(keyword.value.value, str)
    }
