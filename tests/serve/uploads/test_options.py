from typing import Any

import pytest

from runtime.errors import InputError
from serve.settings import Settings
from serve.uploads.options import Choice, Integer, Number, Text, flag, without_blanks

NAMES = ("condition", "clinical_condition", "former")
TTA = Choice(name="tta", values={"flip": 1, "full": 2}, default=0, help="")
REFINE = flag("refine", default=True, help="")
MARGIN = Number(name="margin", default=0.1, least=0, most=1, help="")
LENGTH = Number(name="s", default=3, least=1, most=30, help="", unit="seconds")
SIDE = Integer(
    name="max_side",
    default=lambda settings: settings.background_max_side_px,
    least=32,
    most=lambda settings: settings.background_side_limit_px,
    unit="px",
    help="",
)
CONDITION = Text(
    name=NAMES[0], other_names=NAMES[1:2], deprecated=NAMES[2:], example="stroke", help=""
)
SETTINGS = Settings(background_max_side_px=64, background_side_limit_px=128)


def test_blank_options_are_dropped_and_others_stripped() -> None:
    assert without_blanks({"a": " x ", "b": " ", "c": ""}) == {"a": "x"}


def test_an_option_that_is_absent_has_its_default() -> None:
    assert TTA.read({}) == 0
    assert REFINE.read({})
    assert MARGIN.read({}) == 0.1
    assert SIDE.read({}, SETTINGS) == 64
    assert CONDITION.read({}) is None


def test_options_are_read_by_their_words() -> None:
    assert TTA.read({"tta": "FLIP"}) == 1
    words = {"true": True, "1": True, "FALSE": False, "0": False}
    assert {text: REFINE.read({"refine": text}) for text in words} == words
    assert MARGIN.read({"margin": " 2e-1 "}) == 0.2
    assert SIDE.read({"max_side": "128"}, SETTINGS) == 128


@pytest.mark.parametrize("names", [NAMES[:1], NAMES[1:2], NAMES[2:], NAMES])
def test_an_option_of_several_names_has_one_value(names: tuple[str, ...]) -> None:
    assert CONDITION.read(dict.fromkeys(names, " stroke ")) == "stroke"
    assert CONDITION.read(dict.fromkeys(names, " ")) is None


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda: TTA.read({"tta": "x"}), "'x'; allowed: flip, full"),
        (lambda: REFINE.read({"refine": ""}), "refine is ''; allowed: true, false"),
        (lambda: MARGIN.read({"margin": "wide"}), "margin is 'wide'; allowed: a number$"),
        (lambda: LENGTH.read({"s": "nan"}), "'nan'; allowed: a number of seconds"),
        (lambda: LENGTH.read({"s": "-inf"}), "s is '-inf'; allowed: a number"),
        (lambda: SIDE.read({"max_side": "129"}, SETTINGS), "'129'; allowed: 32 to 128 px"),
        (lambda: CONDITION.read({NAMES[0]: "a", NAMES[1]: "b"}), "former differ; allowed: one of"),
        (lambda: TTA.read({"tta": "x" * 5000}), r"x\.\.\.; allowed: flip"),
    ],
)
def test_other_values_are_refused(read: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read()
