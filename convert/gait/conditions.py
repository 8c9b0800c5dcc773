"""Clinical conditions that the gait model knows by name, read from a JSON table.

A user's table has the same form. Its field `gait` is for training: the gait that a condition makes
likelier.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.errors import RecipeError
from runtime.artifact.conditions import normalize_name

CONDITIONS = Path(__file__).parents[1] / "models" / "gait_conditions.json"
PLACED = Path("checkpoints", "gait_student.conditions.json")  # place of a user's table
FIELDS = ("name", "synonyms", "description", "gait")


@dataclass(frozen=True, slots=True)
class Condition:
    """A diagnosis or complaint, as a clinician would write it down."""

    name: str
    synonyms: tuple[str, ...]
    description: str  # one sentence
    gait: str | None  # class of gait that it makes likelier; None: it does not concern walking

    @property
    def text(self) -> str:
        """Return the text that stands for the condition: it is embedded."""
        return f"{self.name}. {self.description}"


def placed_conditions() -> Path:
    """Return the path of the user's table, or of the project's if there is none."""
    return PLACED if PLACED.is_file() else CONDITIONS


def read_conditions(path: Path = CONDITIONS) -> tuple[Condition, ...]:
    """Read a table of conditions.

    Args:
        path: JSON, a list of objects with FIELDS; `gait` may be missing or null.

    Raises:
        RecipeError: it is not readable, an entry has another form, or a name or synonym occurs
            twice.
    """
    try:
        rows = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path}: no readable table of conditions ({error})") from error
    if not isinstance(rows, list) or not rows:
        raise RecipeError(f"{path}: needed: a list of objects with {', '.join(FIELDS)}")
    conditions = tuple(_condition(row, f"{path}: [{index}]") for index, row in enumerate(rows))
    names: set[str] = set()
    for condition in conditions:
        for name in (condition.name, *condition.synonyms):
            if normalize_name(name) in names:
                raise RecipeError(f"{path}: {name!r} is listed twice; names must be unique")
            names.add(normalize_name(name))
    return conditions


def _condition(row: Any, place: str) -> Condition:
    """Check one row; `place` begins every error."""
    if not isinstance(row, dict) or not {*FIELDS[:3]} <= row.keys() <= {*FIELDS}:
        actual = ", ".join(map(str, row)) if isinstance(row, dict) else type(row).__name__
        raise RecipeError(f"{place} has {actual}; needed: {', '.join(FIELDS[:3])}; allowed: gait")
    name, synonyms, description = (row[field] for field in FIELDS[:3])
    gait = row.get("gait")
    texts = [name, description, *(synonyms if isinstance(synonyms, list) else [None])]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise RecipeError(
            f"{place}: name and description must be text, synonyms a list of texts, none empty"
        )
    if gait is not None and not isinstance(gait, str):
        raise RecipeError(f"{place}.gait is {gait!r}; allowed: the label of a gait, or null")
    return Condition(name, tuple(synonyms), description, gait)
