"""The plot of what was tried, and what stayed in float for it."""

import math
import re
from dataclasses import replace
from typing import Any

import pytest

from convert.commands.report.candidates import section
from convert.commands.report.facts import Measured, ModelFacts
from convert.commands.report.pareto import Point, draw_front, front
from runtime.artifact.manifest import Weights

FAST = Point("fast", 2, 0.9, "quantized")
GOOD = Point("good", 4, 0.99, "quantized")
BEATEN = Point("beaten", 4.5, 0.95, "searched")
FLOAT = Point("float", 10, 1.0, "float")


def test_front_is_what_nothing_beats_in_both() -> None:
    points = [FLOAT, BEATEN, GOOD, FAST, replace(FAST, fidelity=0.5)]
    assert front(points) == [FAST, GOOD, FLOAT]
    assert front([GOOD, replace(GOOD, name="equal")]) == [GOOD]


def test_marks_stand_by_time_and_fidelity() -> None:
    drawn = draw_front([FAST, GOOD, BEATEN, FLOAT, Point("ruined", 1, 0.1, "searched")], title="t")
    marks = {
        name: (float(x), float(y))
        for x, y, name in re.findall(r'cx="([\d.]+)" cy="([\d.]+)".*?<title>(\w+)', drawn)
    }
    assert len(marks) == 5
    assert marks["fast"][0] < marks["good"][0] < marks["float"][0]
    assert marks["float"][1] < marks["good"][1] < marks["fast"][1] < marks["ruined"][1]
    assert (
        'aria-label="t; front: ruined 1.00 ms; fast 2.00 ms; good 4.00 ms; float 10.0 ms"' in drawn
    )


def test_equal_values_divide_by_nothing() -> None:
    assert "nan" not in draw_front([replace(FLOAT, milliseconds=0.0)], title="t")


def facts(**fields: Any) -> ModelFacts:
    one = Measured("int8", "int8", 1, 2.0)
    tried = (
        {"name": "float", "milliseconds": 10.0, "size_bytes": 4, "peak_bytes": 9_000_000},
        {
            "name": "all operators", "milliseconds": 2.0, "size_bytes": 1, "peak_bytes": 3_000_000,
            "fidelity": {"iou_mean": 0.99}, "objections": [],
        },
        {
            "name": "all operators, whole", "milliseconds": 1.5, "size_bytes": 1, "searched": True,
            "fidelity": {"iou_mean": math.nan}, "objections": ["iou_mean cannot be told"],
        },
    )  # fmt: skip
    made = ModelFacts(
        id="net", version=1, digest="d", task="image-segmentation", description="", licence="",
        labels=(), weights=Weights("pretrained", "s", "c"), calibration="synthetic", parity=0.0,
        precision="int8", reason="", fidelity={"iou_mean": 0.99}, judged=True, inputs=1,
        inputs_source="synthetic", before=one, after=one, variants=(one,), seven_bits="",
        similarity=None, pairs={}, seconds=None, converted_at=None,
        float_nodes=("conv<1>", "relu"), float_reason="iou_mean 0.6 < 0.98", candidates=tried,
    )  # fmt: skip
    return replace(made, **fields)


def test_what_stays_in_float_is_named_with_the_reason() -> None:
    shown = section(facts())
    assert "conv&lt;1&gt;" in shown
    assert "With those in integers too: <bdi>iou_mean 0.6 &lt; 0.98</bdi>" in shown
    assert "nothing but what follows the last layer" in section(facts(float_nodes=()))
    many = section(facts(float_nodes=tuple(f"n{i}" for i in range(20))))
    assert "and 8 more" in many
    assert "In float" not in section(facts(precision="float", float_nodes=()))


def test_a_value_that_cannot_be_told_has_a_row_and_no_mark() -> None:
    shown = section(facts())
    assert shown.count("<circle") == 2
    assert shown.count("<tr") == 4
    assert "3.00 MB" in shown
    assert section(facts(candidates=())) == ""


@pytest.mark.parametrize("name", ["<script>", '" onload="x'])
def test_names_in_the_plot_are_escaped(name: str) -> None:
    drawn = draw_front([replace(FAST, name=name), FLOAT], title=name)
    assert name not in drawn
