"""Tables of conditions: looked up by name and synonym, refused in another format."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.artifact.conditions import Conditions, read_conditions
from runtime.errors import ArtifactError, InputError, TooLargeError
from tests.support.artifacts import write_conditions


@pytest.fixture
def conditions(tmp_path: Path) -> Conditions:
    write_conditions(tmp_path / "conditions.npz")
    return read_conditions((tmp_path / "conditions.npz").read_bytes(), "here", width=6)


@pytest.mark.parametrize("name", ["Ischaemic stroke", "ischaemic STROKE", "cva", " Stroke\n"])
def test_conditions_are_found_by_name_and_synonym(conditions: Conditions, name: str) -> None:
    assert conditions.find(name) == "Ischaemic stroke"
    np.testing.assert_array_equal(conditions.embed(name), [1, 0, 0, 0, 0, 0])


def test_an_unknown_condition_is_an_error_that_lists_the_known_ones(conditions: Conditions) -> None:
    message = "condition 'gout' is unknown; known: Ischaemic stroke, Parkinson's disease"
    with pytest.raises(InputError, match=message):
        conditions.embed("gout")


def table(**changes: Any) -> bytes:
    arrays = {
        "names": np.array(["a", "b"]),
        "synonyms": np.array(['["c"]', "[]"]),
        "embeddings": np.zeros((2, 6), np.float32),
        **changes,
    }
    buffer = io.BytesIO()
    np.savez(buffer, **{name: value for name, value in arrays.items() if value is not None})
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no table of conditions"),
        (b"PK\x03\x04" + bytes(40), "is no table of conditions"),
        (table(synonyms=None), "is no table of conditions"),
        (table(names=np.array([{}, {}], object)), "is no table of conditions"),
        (table(synonyms=np.array(["[", "[]"])), "is no table of conditions"),
        (table(synonyms=np.array(['"c"', "[]"])), "allowed: a JSON list of texts"),
        (table(synonyms=np.array(["[]"])), "2 names, 1 lists; needed: float32"),
        (table(embeddings=np.zeros((2, 5), np.float32)), r"float32 \(2, 5\)"),
        (table(embeddings=np.zeros((2, 6))), r"float64 \(2, 6\).*needed: float32 \(K, 6\)"),
        (table(embeddings=np.full((2, 6), np.nan, np.float32)), "not finite numbers"),
        (table(names=np.array(["a", "A"])), "'A' is listed twice"),
        (table(names=np.array(["a", "C"])), "'C' is listed twice"),
    ],
)
def test_tables_of_another_format_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(ArtifactError, match=message) as caught:
        read_conditions(content, "here", width=6)
    assert str(caught.value).startswith("here")


def test_a_long_condition_is_refused_before_it_is_compared(conditions: Conditions) -> None:
    for look_up in (conditions.knows, conditions.find, conditions.embed):
        with pytest.raises(TooLargeError, match="has 2001 characters; allowed: 2000"):
            look_up(" " * 2001)
