"""JSON to dataclasses and back, and the errors for what a dataclass does not declare."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from runtime.artifact.schema import parse, to_json
from runtime.errors import ArtifactError


@dataclass(frozen=True, slots=True)
class Circle:
    radius: float
    op: Literal["circle"] = "circle"


@dataclass(frozen=True, slots=True)
class Box:
    sides: tuple[int | str, ...]
    op: Literal["box"] = "box"


@dataclass(frozen=True, slots=True)
class Drawing:
    name: str
    shapes: tuple[Circle | Box, ...]
    scale: float
    visible: bool
    kind: Literal["ink", "chalk"]
    notes: Mapping[str, int]
    anything: Any
    parent: str | None = None


VALUE = {
    "name": "one",
    "shapes": [{"op": "circle", "radius": 2}, {"op": "box", "sides": [3, "N"]}],
    "scale": 0.5,
    "visible": True,
    "kind": "ink",
    "notes": {"pages": 3},
    "anything": [1, {"deep": None}],
    "parent": None,
}
DRAWING = Drawing(
    "one", (Circle(2.0), Box((3, "N"))), 0.5, True, "ink", {"pages": 3}, [1, {"deep": None}]
)


def test_round_trip() -> None:
    assert parse(Drawing, VALUE, "a.json") == DRAWING
    assert to_json(DRAWING) == VALUE


def test_a_whole_number_becomes_a_float() -> None:
    scale = parse(Drawing, {**VALUE, "scale": 2}, "a.json").scale
    assert (scale, type(scale)) == (2.0, float)


def test_extension_fields_are_ignored() -> None:
    shapes = [{"op": "circle", "radius": 2, "x_colour": "red"}]
    drawing = parse(Drawing, {**VALUE, "x_mine": [1], "shapes": shapes}, "a.json")
    assert drawing.shapes == (Circle(2.0),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, "a.json.colour is not a known field; known: name, shapes, scale"),
        ({"name": 1}, "a.json.name is '1' (int); allowed: str"),
        ({"name": None}, "a.json.name is 'None' (NoneType); allowed: str"),
        ({"scale": "2"}, "a.json.scale is '2' (str); allowed: float"),
        ({"scale": True}, "a.json.scale is 'True' (bool); allowed: float"),
        ({"scale": 10**400}, "a.json.scale has 401 digits; allowed: float"),
        ({"visible": 1}, "a.json.visible is '1' (int); allowed: bool"),
        ({"kind": "oil"}, "a.json.kind is 'oil'; allowed: ink, chalk"),
        ({"kind": ["ink"]}, "a.json.kind is ['ink']; allowed: ink, chalk"),
        ({"notes": {"pages": "3"}}, "a.json.notes.pages is '3' (str); allowed: int"),
        ({"notes": []}, "a.json.notes is '[]' (list); allowed: dict"),
        ({"parent": 3}, "a.json.parent is '3' (int); allowed: str"),
        ({"shapes": {}}, "a.json.shapes is '{}' (dict); allowed: list"),
        ({"shapes": [{"op": "star"}]}, "a.json.shapes[0].op is 'star'; known ops: box, circle"),
        ({"shapes": [{}]}, "a.json.shapes[0].op is None; known ops: box, circle"),
        ({"shapes": [{"op": ["box"]}]}, "a.json.shapes[0].op is ['box']; known ops: box, circle"),
        ({"shapes": [{"op": "circle"}]}, "a.json.shapes[0].radius is missing"),
        (
            {"shapes": [{"op": "box", "sides": [1, 2.5]}]},
            "a.json.shapes[0].sides[1] is 2.5; allowed: int, str",
        ),
        (
            {"shapes": [{"op": "box", "sides": [True]}]},
            "a.json.shapes[0].sides[0] is True; allowed: int, str",
        ),
    ],
)
def test_wrong_values_are_refused_with_their_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        parse(Drawing, {**VALUE, **change}, "a.json")
    assert str(caught.value).startswith(message)


def test_a_missing_field_is_named() -> None:
    value = {name: item for name, item in VALUE.items() if name != "kind"}
    with pytest.raises(ArtifactError, match=r"^a\.json\.kind is missing$"):
        parse(Drawing, value, "a.json")


@pytest.mark.parametrize("value", [None, [], "text", 3])
def test_a_value_that_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(ArtifactError, match=r"^a\.json is .* allowed: dict"):
        parse(Drawing, value, "a.json")
