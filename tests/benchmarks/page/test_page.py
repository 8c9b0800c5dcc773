"""The page with its plots: well-formed, self-contained, and true to the figures."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.page import html
from benchmarks.page.__main__ import main
from benchmarks.page.parts.suite_plots import front, pareto
from benchmarks.page.svg import Axis, Bar, Dot, bars, decades, dots, linear
from tests.benchmarks.support.reports import MODEL, report, validator

SVG = re.compile(r"<svg .*?</svg>", re.DOTALL)


def plots(text: str) -> list[ET.Element]:
    return [ET.fromstring(one) for one in SVG.findall(text)]


def test_the_report_that_the_page_is_tested_with_is_valid() -> None:
    validator().validate(report())


def test_every_plot_has_a_description_and_every_figure_a_table() -> None:
    page = html.render(report())
    for plot in plots(page):
        assert plot.get("role") == "img"
        assert len(str(plot.get("aria-label"))) > 20
    for title in ("Latency", "Fidelity", "HTTP", "Memory by state", "Size on disk", "Originals",
                  "Servers", "Engines", "Points and slopes", "Limits"):  # fmt: skip
        assert f"<summary>Table: {title}</summary>" in page


def test_engines_of_all_sections_are_in_the_plots_of_their_model() -> None:
    labels = [str(plot.get("aria-label")) for plot in plots(html.render(report()))]
    label = next(one for one in labels if one.startswith(f"{MODEL}. torch"))
    for name in ("torch: 300 ms", "Slipway float: 250 ms", "Slipway INT8 *: 100 ms",
                 "OpenVINO int8: 90.0 ms"):  # fmt: skip
        assert name in label
    assert "slipway: 100 ms" not in label  # the control beside the originals


def test_bars_are_as_long_as_their_values() -> None:
    plot = ET.fromstring(bars("t", [Bar("a", 0, 10, "10", "float"), Bar("b", 5, 10, "5", "saved")]))
    a, b = (one for one in plot.iter() if one.tag.endswith("rect"))
    assert float(str(b.get("width"))) == pytest.approx(float(str(a.get("width"))) / 2, abs=0.2)
    assert float(str(b.get("x"))) > float(str(a.get("x")))


def test_an_axis_has_round_ticks_around_its_values() -> None:
    axis = linear("ms", [3.0, 17.0])
    assert list(axis.ticks) == [0, 5, 10, 15, 20]
    assert axis.share(10) == 0.5
    assert linear("iou", [0.984, 1.0], low=None).low <= 0.984
    assert Axis("n", 1, 16, (1, 4, 16), is_log=True).share(4) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [([77, 339], [50, 100, 200, 500]), ([0.2, 3], [0.2, 0.5, 1, 2, 5]), ([1], [1]),
     ([0.16, 60], [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]), ([0.1, 1e4], None)],
)  # fmt: skip
def test_a_logarithmic_axis_has_round_ticks(values: list[float], ticks: list[float] | None) -> None:
    axis = decades("ms", values)
    assert list(axis.ticks) == pytest.approx(ticks or [0.1, 1, 10, 100, 1000, 1e4])
    assert axis.low <= min(values) <= max(values) <= axis.high


def test_numbers_of_points_lie_on_no_point_and_on_no_other_number() -> None:
    points = [Dot(f"engine {n}", 1 + n % 3 / 100, 1.0, "peer") for n in range(9)]
    x_axis, y_axis = decades("ms", [1, 100]), linear("iou_mean", [0.99, 1.0], low=None)
    plot = ET.fromstring(dots("t", x_axis, y_axis, points))
    texts = [one for one in plot.iter() if str(one.text).isdigit() and one.get("class") is None]
    boxes = [(float(str(t.get("x"))), float(str(t.get("y")))) for t in texts]
    marks = [one for one in plot.iter() if one.tag.endswith("circle")]
    places = [(float(str(one.get("cx"))), float(str(one.get("cy")))) for one in marks]
    assert len(boxes) == len(places) == 9
    for number, (x, y) in enumerate(boxes):
        for a, b in boxes[:number]:
            assert abs(x - a) >= 7 or abs(y - b) >= 10
        for a, b in places:
            assert not (x - 3 < a < x + 10 and y - 11 < b < y + 3)


def test_a_long_name_of_a_legend_is_cut_in_its_middle() -> None:
    long = f"OpenVINO {'float ' * 12}: 108 ms, 0.9522"
    plot = dots("t", decades("ms", [1]), linear("f", [1.0]), [Dot(long, 1, 1, "peer")])
    (line,) = (str(t.text) for t in ET.fromstring(plot).iter() if "..." in str(t.text))
    assert line.startswith("1  OpenVINO")
    assert line.endswith("108 ms, 0.9522")
    assert len(line) <= 54


def test_our_own_turns_beside_other_engines_are_no_point_of_their_own() -> None:
    content = report()
    ours = {**content["peers"]["engines"][0], "engine": "Slipway (onnxruntime)"}
    content["peers"]["engines"].append(ours)
    page = html.render(content)
    assert page.count("Slipway (onnxruntime)") == 1  # in the table


def test_the_front_holds_the_points_that_no_other_one_beats() -> None:
    points = [Dot("slow", 9, 1.0, ""), Dot("fast", 1, 0.9, ""), Dot("worse", 2, 0.8, "")]
    assert [dot.name for dot in front(points)] == ["fast", "slow"]


def test_where_the_conversion_compared_nothing_the_golden_samples_are_plotted() -> None:
    content = report()
    for variant in content["suite"]["models"][0]["variants"]:
        variant["fidelity"]["metrics"] = {"box_recall": None}
    (plot,) = pareto(content).plots
    assert "golden cosine 0.9987" in plot
    assert "golden cosine 0.8" in plot  # OpenVINO's 0.7 lies on the lower edge


def test_goals_verdicts_and_costs_are_shown_without_a_click() -> None:
    page = html.render(report())
    opened = re.findall(r"<details open><summary>Table: (.*?)</summary>", page)
    assert opened == ["Goals", "Cost", "Peers against Slipway", "Shares of the limits"]


def test_the_page_loads_nothing_and_escapes_what_it_shows() -> None:
    content = report()
    content["suite"]["models"][0]["id"] = "<script>alert(1)</script>"
    content["peers"]["servers"][1]["answer"] = "<script>alert(2)</script>"
    page = html.render(content)
    assert "<script" not in page
    assert "Made-up &lt;CPU&gt;" in page
    addresses = set(re.findall(r"https?://[^\"' ]+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}
    for word in ("@import", "url(", "<link", "<img", "src="):
        assert word not in page


def test_the_page_has_the_colours_of_the_servers_page() -> None:
    colours = html.colours()
    assert "--quantized:" in colours
    assert "prefers-color-scheme: dark" in colours
    assert colours.count("{") == colours.count("}")
    assert colours in html.render(report())


def test_the_page_is_well_formed() -> None:
    void = {"meta", "br", "hr", "img", "input", "link"}
    opened: list[str] = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in void:
                opened.append(tag)

        def handle_startendtag(self, tag: str, attrs: object) -> None: ...

        def handle_endtag(self, tag: str) -> None:
            assert opened.pop() == tag

    Checker().feed(html.render(report()))
    assert opened == []


def test_the_files_are_written_anew_from_the_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report.json").write_text(json.dumps(report()))
    assert main([str(tmp_path)]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"report.json", "report.md", "report.html", "latency.svg"}
    (tmp_path / "report.json").write_text("{")
    assert main([str(tmp_path)]) == 1
    assert "is not JSON" in capsys.readouterr().err
