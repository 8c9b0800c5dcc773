from dataclasses import dataclass, make_dataclass
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest

from serve.openapi.schema import AnyOf, Keywords, Schemas


class Colour(Enum):
    RED = "red"


class InnerJson(TypedDict):
    """One thing.

    More of it.
    """

    colour: Colour
    words: list[str]


class OuterJson(InnerJson):
    """Several things."""

    inner: Annotated[InnerJson, "the first"]
    old: NotRequired[Annotated[int, "deprecated: the former name"]]
    by_name: dict[str, float | None]
    either: InnerJson | str


@dataclass(frozen=True)
class Step:
    """A step."""

    op: Literal["a", "b"]
    size: int | None = None


def test_named_types_are_components() -> None:
    schemas = Schemas()
    assert schemas.of(OuterJson) == {"$ref": "#/components/schemas/Outer"}
    assert schemas.components["Inner"] == {
        "type": "object",
        "description": "One thing.",
        "properties": {
            "colour": {"type": "string", "enum": ["red"]},
            "words": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["colour", "words"],
        "additionalProperties": False,
    }
    outer = schemas.components["Outer"]
    assert outer["required"] == ["colour", "words", "inner", "by_name", "either"]
    reference = {"$ref": "#/components/schemas/Inner"}
    assert outer["properties"]["inner"] == {**reference, "description": "the first"}
    assert outer["properties"]["old"] == {
        "type": "integer", "description": "deprecated: the former name", "deprecated": True,
    }  # fmt: skip
    values = {"type": "object", "additionalProperties": {"type": ["number", "null"]}}
    assert outer["properties"]["by_name"] == values
    assert outer["properties"]["either"] == {"anyOf": [reference, {"type": "string"}]}


def test_a_field_with_a_default_may_be_missing() -> None:
    schemas = Schemas()
    schemas.of(Step)
    assert schemas.components["Step"]["required"] == ["op"]
    assert schemas.components["Step"]["properties"]["op"]["enum"] == ["a", "b"]


def test_keywords_and_types_in_place_of_any() -> None:
    schemas = Schemas()
    assert schemas.of(Any) == {}
    assert schemas.of(Annotated[str, Keywords({"maxLength": 3})]) == {
        "type": "string", "maxLength": 3,
    }  # fmt: skip
    union = schemas.of(Annotated[Any, AnyOf((int, InnerJson))])
    assert union == {"anyOf": [{"type": "integer"}, {"$ref": "#/components/schemas/Inner"}]}


def test_what_has_no_schema_is_refused() -> None:
    with pytest.raises(TypeError, match="complex"):
        Schemas().of(complex)
    schemas = Schemas()
    schemas.of(Step)
    with pytest.raises(TypeError, match="the same name"):
        schemas.of(make_dataclass("Step", ["size"]))
