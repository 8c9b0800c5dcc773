from xml.etree import ElementTree as ET

import pytest

from benchmarks.page.picture import BARS_WIDTH, BARS_X, WIDTH, draw
from tests.benchmarks.support.reports import Json, model, suite, variant

SVG = "{http://www.w3.org/2000/svg}"


def elements(content: Json, tag: str) -> list[ET.Element]:
    return list(ET.fromstring(draw(content)).iter(SVG + tag))


def bars(content: Json) -> list[tuple[str, float]]:
    rects = [rect for rect in elements(content, "rect") if rect.get("class") != "card"]
    return [(str(rect.get("class")), float(str(rect.get("width")))) for rect in rects]


def texts(content: Json) -> list[str]:
    return [str(text.text) for text in elements(content, "text")]


def test_bars_are_as_long_as_the_latencies_of_each_model() -> None:
    slowest = float(BARS_WIDTH)
    assert bars(suite()) == [
        ("float", slowest),
        ("served", pytest.approx(slowest * 100 / 250, abs=0.06)),
        ("served", slowest),
    ]


def test_numbers_weights_and_machine_are_written() -> None:
    lines = texts(suite())
    assert {"float 250 ms", "INT8 100 ms", "2.50 x", "float 0.44 ms"} <= set(lines)
    assert lines.count("weights: seeded, untrained") == 2
    assert any(line.startswith("Made-up <CPU> (avx512_vnni)") for line in lines)
    assert any("after 0.5 s, 200 MB after use, 141 MB of packages" in line for line in lines)


def test_a_served_variant_that_is_slower_has_the_longest_bar() -> None:
    slow = model(
        "slow",
        variant("int8", median_ms=400.0, faster=0.5, served=True),
        variant("float", median_ms=200.0, faster=1.0, served=False),
    )
    assert bars(suite(slow)) == [("float", BARS_WIDTH / 2), ("served", float(BARS_WIDTH))]
    assert "0.50 x" in texts(suite(slow))


def test_a_long_name_ends_where_the_bars_begin() -> None:
    name = "an_id_of_sixty_four_characters_is_allowed_and_would_cover_a_bar_"
    served = variant("int8", median_ms=1.0, faster=None, served=True)
    element = next(
        e for e in elements(suite(model(name, served)), "text") if e.get("class") == "name"
    )
    assert str(element.text).endswith("...")
    assert float(str(element.get("x"))) + len(str(element.text)) * 13 * 0.68 < BARS_X


def test_nothing_leaves_the_card() -> None:
    for rect in elements(suite(), "rect"):
        assert float(str(rect.get("x"))) + float(str(rect.get("width"))) <= WIDTH
    for text in elements(suite(), "text"):
        if "end" not in str(text.get("class")) and text.get("class") != "ratio":
            reach = len(str(text.text)) * 12 * 0.55  # the long lines are of the smallest font
            assert float(str(text.get("x"))) + reach < WIDTH, text.text


def test_the_picture_loads_nothing() -> None:
    svg = draw(suite())
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")
    assert "prefers-color-scheme: dark" in svg
    for word in ("<script", "<image", "url(", "@import", "var("):
        assert word not in svg
