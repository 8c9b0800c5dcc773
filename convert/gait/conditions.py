"""Clinical conditions that the gait model knows by name: a table in a data file of its own.

A user's table has the same form; `gait` is what the synthetic weights were taught to expect.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.errors import RecipeError
from runtime.artifact.conditions import normalize_name

CONDITIONS = Path(__file__).parents[1] / "models" / "gait_conditions.json"
PLACED = Path("checkpoints", "gait_student.conditions.json")  # the user's table
FIELDS = ("name", "synonyms", "description", "gait")


@dataclass(frozen=True, slots=True)
class Condition:
    """A diagnosis or complaint, as a clinician would write it down."""

    name: str
    synonyms: tuple[str, ...]
    description: str  # one sentence
    gait: str | None  # the walk that it makes likelier; None: it says nothing about the walk

    @property
    def text(self) -> str:
        """What is embedded when the condition is chosen by name."""
        return f"{self.name}. {self.description}"


def placed_conditions() -> Path:
    """The user's table where there is one, else the project's."""
    return PLACED if PLACED.is_file() else CONDITIONS


def read_conditions(path: Path = CONDITIONS) -> tuple[Condition, ...]:
    """Read a table of conditions.

    Args:
        path: JSON, a list of objects with FIELDS; `gait` may be missing or null.

    Raises:
        RecipeError: unreadable, an entry of another form, or a name or synonym that occurs twice.
    """
    try:
        rows = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path}: no readable table of conditions ({error})") from error
    if not isinstance(rows, list) or not rows:
        raise RecipeError(f"{path}: needed is a list of objects with {', '.join(FIELDS)}")
    conditions = tuple(_condition(row, f"{path}: [{index}]") for index, row in enumerate(rows))
    seen: set[str] = set()
    for condition in conditions:
        for name in (condition.name, *condition.synonyms):
            if normalize_name(name) in seen:
                raise RecipeError(f"{path}: {name!r} stands there twice; names must be distinct")
            seen.add(normalize_name(name))
    return conditions


def _condition(row: Any, place: str) -> Condition:
    if not isinstance(row, dict) or not {*FIELDS[:3]} <= row.keys() <= {*FIELDS}:
        found = ", ".join(map(str, row)) if isinstance(row, dict) else type(row).__name__
        raise RecipeError(f"{place} has {found}; needed: {', '.join(FIELDS[:3])}; allowed: gait")
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
