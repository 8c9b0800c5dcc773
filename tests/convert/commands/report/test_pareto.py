"""The plot and the table of candidates, and the layers that stay in float."""

import math
import re
from dataclasses import replace
from typing import Any, get_args

import pytest

from convert.commands.report import page
from convert.commands.report.facts import Facts, ModelFacts, VariantFacts
from convert.commands.report.pareto import Mark, front, place
from convert.gate.verdict import Outcome
from runtime.artifact.manifest import Weights

FAST = Mark("fast", 2, 0.9, "quantized")
GOOD = Mark("good", 4, 0.99, "quantized")
BEATEN = Mark("beaten", 4.5, 0.95, "searched")
FLOAT = Mark("float", 10, 1.0, "float")


def test_front_holds_the_marks_that_no_other_beats_in_both() -> None:
    marks = [FLOAT, BEATEN, GOOD, FAST, replace(FAST, fidelity=0.5)]
    assert front(marks) == (FAST, GOOD, FLOAT)
    assert front([GOOD, replace(GOOD, name="equal")]) == (GOOD,)


def test_marks_are_placed_by_latency_and_fidelity() -> None:
    plot = place([FAST, GOOD, BEATEN, FLOAT, Mark("ruined", 1, 0.1, "searched")], "cosine_mean")
    marks = {mark.name: mark for mark in plot.marks}
    assert len(marks) == 5
    assert marks["fast"].x < marks["good"].x < marks["float"].x
    assert marks["float"].y < marks["good"].y < marks["fast"].y < marks["ruined"].y
    assert (marks["float"].x, marks["float"].y) == (plot.right, plot.top)
    assert marks["ruined"].y == plot.bottom  # below the axis
    assert [mark.name for mark in plot.front] == ["ruined", "fast", "good", "float"]


def test_equal_values_do_not_divide_by_zero() -> None:
    (mark,) = place([replace(FLOAT, milliseconds=0.0)], "cosine_mean").marks
    assert math.isfinite(mark.x + mark.y)


def facts(**fields: Any) -> ModelFacts:
    one = VariantFacts("int8", "int8", 1, 2.0)
    candidates = (
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
    plain = ModelFacts(
        id="net", version=1, digest="d", task="image-segmentation", description="", licence="",
        labels=(), weights=Weights("pretrained", "s", "c"), assumptions=(), calibration="synthetic",
        parity=0.0,
        precision="int8", reason="", fidelity={"iou_mean": 0.99}, judged=True, inputs=1,
        inputs_source="synthetic", before=one, after=one, variants=(one,), seven_bits="",
        float16="", verdict="", advice="", sureness="", division="", nearest_bound={}, yardstick={},
        similarity=None, pairs={}, seconds=None, converted_at=None,
        float_nodes=("conv<1>", "relu"), float_reason="iou_mean 0.6 < 0.98", candidates=candidates,
    )  # fmt: skip
    return replace(plain, **fields)


def details(**fields: Any) -> str:
    """Return the details of a model on its page, as HTML without line breaks."""
    html = page.render(Facts(1, (facts(**fields),), (), ()))
    return " ".join(html.partition("<details>")[2].partition("</details>")[0].split())


def test_float_layers_are_named_with_the_reason() -> None:
    assert "<bdi>conv&lt;1&gt;</bdi>, <bdi>relu</bdi>." in details()
    assert "With these in INT8 too: <bdi>iou_mean 0.6 &lt; 0.98</bdi>" in details()
    assert "Only the nodes after the last layer" in details(float_nodes=())
    many = details(float_nodes=tuple(f"n{i}" for i in range(20)))
    assert "<bdi>n11</bdi> and 8 more." in many
    assert "computed in float" not in details(precision="float", float_nodes=())


def test_the_page_tells_how_sure_the_verdict_is_and_what_float_loses_itself() -> None:
    sentence = "judged by the bounds of the task, on <60> test media"
    html = page.render(Facts(1, (facts(sureness=sentence),), (), ()))
    assert "on &lt;60&gt; test media" in html
    assert "The yardstick" not in html
    shown = details(yardstick={"grey_level": {"regret": 0.001}, "jpeg": {"regret": 0.0134}})
    assert "The yardstick" in shown
    assert "as JPEG of quality 95" in shown
    assert "0.0134" in shown
    assert "resampled to another rate" in details(yardstick={"resampled": {"regret": 0.001}})


def test_the_page_tells_which_bound_decided_and_how_media_were_divided() -> None:
    bound = {"metric": "sure_recall", "value": 0.9717, "at_least": 0.96}
    html = page.render(Facts(1, (facts(nearest_bound=bound, division="74 images judge"),), (), ()))
    text = " ".join(html.split())
    assert "least room: sure_recall is 0.9717, at least 0.96 is allowed (share of boxes" in text
    assert "74 images judge" in text
    assert "least room: " not in page.render(Facts(1, (facts(),), (), ()))


@pytest.mark.parametrize("verdict", [*get_args(Outcome), "another"])
def test_the_page_tells_the_verdict_and_what_would_settle_it(verdict: str) -> None:
    advice = "about 40 more media would settle it" if verdict == "undecided" else ""
    html = page.render(Facts(1, (facts(verdict=verdict, advice=advice),), (), ()))
    assert f'<p class="verdict">{page.VERDICTS.get(verdict, "another")}</p>' in html
    assert advice in html


def test_the_page_explains_what_only_a_refused_candidate_shows() -> None:
    float_graph, *others = facts().candidates
    refused = {**others[0], "fidelity": {"iou_mean": 0.9, "mae": 0.1}}
    html = page.render(Facts(1, (facts(candidates=(float_graph, refused)),), (), ()))
    assert "<dt>mae</dt><dd>absolute difference of alpha, mean</dd>" in html


def test_candidate_with_nan_has_a_row_and_no_mark() -> None:
    assert details().count("<circle") == 2
    assert details().count("<tr") == 4
    assert "3.00 MB" in details()
    assert (
        'aria-label="iou_mean by latency; front: all operators 2.00 ms; float 10.0 ms"' in details()
    )
    nothing_tried = details(candidates=())
    assert nothing_tried.count("<circle") == nothing_tried.count("<tr") == 0


@pytest.mark.parametrize("name", ["<script>", '" onload="x'])
def test_names_in_the_plot_are_escaped(name: str) -> None:
    float_graph, *others = facts().candidates
    hostile = details(
        candidates=({**float_graph, "name": name}, *others), fidelity={"iou_mean": 1.0}
    )
    assert name not in hostile
    assert len(re.findall(r"<circle [^>]*><title>[^<>]*</title></circle>", hostile)) == 2
