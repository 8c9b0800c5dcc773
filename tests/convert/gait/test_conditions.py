import json
from pathlib import Path
from typing import Any

import pytest

from convert.errors import RecipeError
from convert.gait.conditions import read_conditions
from convert.samples.walkers import LABELS

GOOD = {"name": "Gout", "synonyms": ["podagra"], "description": "Pain of the great toe."}


def test_the_table_has_conditions_for_every_gait_and_unrelated_ones() -> None:
    table = read_conditions()
    assert {c.gait for c in table} == {*LABELS, None}
    assert all(c.synonyms and c.description.endswith(".") for c in table)
    assert table[2].text.startswith("Ischaemic stroke. Sudden loss of strength")


def test_a_users_table_needs_no_gait(tmp_path: Path) -> None:
    (condition,) = read_conditions(_write_table(tmp_path, [GOOD]))
    assert condition.gait is None
    assert condition.synonyms == ("podagra",)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({}, "needed: a list"),
        ([], "needed: a list"),
        (["Gout"], r"\[0\] has str; needed: name, synonyms, description"),
        ([{"name": "Gout"}], r"\[0\] has name; needed"),
        ([{**GOOD, "icd": "M10"}], "has name, synonyms, description, icd; needed"),
        ([{**GOOD, "name": " "}], "must be text"),
        ([{**GOOD, "synonyms": "podagra"}], "synonyms a list of texts"),
        ([{**GOOD, "gait": 3}], r"\[0\].gait is 3; allowed"),
        (
            [GOOD, {**GOOD, "name": "Podagra", "synonyms": []}],
            "'Podagra' is listed twice; names must be unique",
        ),
    ],
)
def test_other_tables_are_refused(tmp_path: Path, rows: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        read_conditions(_write_table(tmp_path, rows))


def test_an_unreadable_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no readable table"):
        read_conditions(tmp_path / "none.json")


def _write_table(directory: Path, rows: Any) -> Path:
    path = directory / "table.json"
    path.write_text(json.dumps(rows), "utf-8")
    return path
