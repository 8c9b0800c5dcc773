"""Edges and colours of cut-outs are better than plain scaling, on pictures whose truth is known."""

from dataclasses import astuple

import numpy as np
import pytest

from convert.mattes import __main__ as command
from convert.mattes.composites import Composite, composites
from convert.mattes.masks import Masked, averaged, unsure
from convert.mattes.measures import compare, errors
from convert.samples.procedural import EVALUATION, media


@pytest.fixture(scope="module")
def drawn() -> list[Composite]:
    """In the proportions of a photo: the longer side is 2.2 times a mask's."""
    return composites(media("scene", EVALUATION, 6), count=2, longest_px=700)


def test_composites_are_what_they_say(drawn: list[Composite]) -> None:
    again = composites(media("scene", EVALUATION, 6), count=2, longest_px=700)
    for one, same in zip(drawn, again, strict=True):
        assert np.array_equal(one.image, same.image)
        assert one.image.shape == (*one.alpha.shape, 3)
        assert one.alpha.min() == 0
        assert one.alpha.max() == 1
        assert 0.01 < ((one.alpha > 0.02) & (one.alpha < 0.98)).mean() < 0.3
        solid = one.alpha == 1
        apart = np.abs(one.image[solid].astype(float) - one.foreground[solid].clip(0, 255))
        assert apart.mean() < 2.5  # the noise, 2 levels, and rounding


def test_the_truth_has_no_error(drawn: list[Composite]) -> None:
    truth = drawn[0]
    colours = np.rint(truth.foreground.clip(0, 255)).astype(np.uint8)
    found = errors(truth, np.rint(truth.alpha * 255).astype(np.uint8), colours)
    # half a level of 255, in thousandths; a slope weighs eight values; and half a level of colour
    assert max(found.mae, found.band_mae) <= 2.0
    assert found.gradient <= 16
    assert found.colour <= 1.0


@pytest.mark.parametrize("masked", [averaged, unsure])
def test_refined_edges_are_nearer_to_the_truth(drawn: list[Composite], masked: Masked) -> None:
    found = compare(drawn, masked)
    assert found.pictures == 2
    print(f"{found}")
    for plain, refined in zip(astuple(found.bilinear), astuple(found.refined), strict=True):
        assert refined < plain


def test_clean_colours_are_nearer_to_the_truth(drawn: list[Composite]) -> None:
    found = compare(drawn, averaged)
    assert found.cleaned.colour < 0.8 * found.refined.colour
    assert astuple(found.cleaned)[:-1] == astuple(found.refined)[:-1]  # alpha is not touched


def test_the_command_prints_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--count", "1", "--side", "400"]) == 0
    rows = [line.split()[:3] for line in capsys.readouterr().out.splitlines()[1:7]]
    ways = ("bilinear", "refined", "cleaned")
    assert rows == [[kind, "1", way] for kind in ("averaged", "unsure") for way in ways]
