from typing import Any

import pytest

from runtime.errors import InputError
from serve.uploads.options import choice, flag, number, one_of, without_blanks

NAMES = ("condition", "clinical_condition")


def test_blank_options_are_dropped_and_others_stripped() -> None:
    assert without_blanks({"a": " x ", "b": " ", "c": ""}) == {"a": "x"}


def test_an_option_that_is_absent_has_its_default() -> None:
    assert choice({}, "tta", {"flip": 1}, 2) == 2
    assert flag({}, "refine", default=True)
    assert number({}, "margin", 0.1) == 0.1
    assert one_of({}, NAMES) is None


def test_options_are_read_by_their_words() -> None:
    assert choice({"tta": "FLIP"}, "tta", {"flip": 1}, 2) == 1
    words = {"true": True, "1": True, "FALSE": False, "0": False}
    assert {text: flag({"refine": text}, "refine", default=True) for text in words} == words
    assert number({"margin": " 2e-1 "}, "margin", 0.1) == 0.2


@pytest.mark.parametrize("names", [NAMES[:1], NAMES[1:], NAMES])
def test_an_option_of_two_names_has_one_value(names: tuple[str, ...]) -> None:
    assert one_of(dict.fromkeys(names, " stroke "), NAMES) == "stroke"
    assert one_of(dict.fromkeys(names, " "), NAMES) is None


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda: choice({"tta": "x"}, "tta", {"flip": 1, "full": 2}, 0), "'x'; allowed: flip, ful"),
        (lambda: flag({"refine": ""}, "refine", default=True), "refine is ''; allowed: true, fal"),
        (lambda: number({"margin": "wide"}, "margin", 0), "margin is 'wide'; allowed: a number$"),
        (lambda: number({"s": "nan"}, "s", 0, unit="seconds"), "'nan'; allowed: a number of secon"),
        (lambda: number({"s": "-inf"}, "s", 0), "s is '-inf'; allowed: a number"),
        (lambda: one_of({NAMES[0]: "a", NAMES[1]: "b"}, NAMES), "condition differ; allowed: one"),
        (lambda: choice({"tta": "x" * 5000}, "tta", {"flip": 1}, 0), r"x\.\.\.; allowed: flip"),
    ],
)
def test_other_values_are_refused(read: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read()
