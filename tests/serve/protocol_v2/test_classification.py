"""The extension `classification`."""

from typing import Any

import numpy as np
import pytest

from runtime.artifact.manifest import TensorSpec
from runtime.errors import InputError, TooLargeError
from serve.protocol_v2.classification import MAX_STRINGS, best_classes, class_count

SCORES = TensorSpec("scores", "float32", ("N", 3))


def test_the_best_values_come_first_with_index_and_label() -> None:
    array = np.array([[0.25, 1, 0.5], [3, -2, 3]], np.float32)
    strings = best_classes(array, 2, ["a", "b", "c"])
    assert strings.tolist() == [
        ["1.000000:1:b", "0.500000:2:c"],
        ["3.000000:0:a", "3.000000:2:c"],
    ]
    assert best_classes(array, 9, ["a"])[0].tolist()[2] == "0.250000:0"


def test_integers_are_ordered_exactly() -> None:
    signed = np.array([[2**62, 2**62 + 1, -(2**63)]], np.int64)
    assert best_classes(signed, 3, ()).tolist()[0][0] == f"{2**62 + 1}:1"
    assert best_classes(signed, 3, ()).tolist()[0][2] == f"{-(2**63)}:2"
    unsigned = np.array([[0, 255, 7]], np.uint8)
    assert best_classes(unsigned, 1, ()).tolist() == [["255:1"]]


def test_nan_comes_last_and_rows_may_have_several_axes() -> None:
    array = np.array([[[np.nan, 1]], [[2, np.inf]]], np.float64)
    assert best_classes(array, 2, ()).tolist() == [
        ["1.000000:1", "nan:0"],
        ["inf:1", "2.000000:0"],
    ]
    assert best_classes(np.empty((0, 3), np.float32), 2, ()).shape[0] == 0


def test_the_strings_are_bounded() -> None:
    with pytest.raises(TooLargeError, match=f"allowed: {MAX_STRINGS}"):
        best_classes(np.zeros((MAX_STRINGS, 2), np.float32), 2, ())


@pytest.mark.parametrize("value", [0, -1, 1.0, "1", True, None])
def test_another_count_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match=r"classification of output 'scores' is .*; allowed: an"):
        class_count({"classification": value}, SCORES)


def test_the_count_of_an_output() -> None:
    assert class_count({}, SCORES) == 0
    assert class_count({"classification": 5}, SCORES) == 5
    with pytest.raises(InputError, match="needs numbers in rows"):
        class_count({"classification": 1}, TensorSpec("flags", "bool", ("N", 2)))
