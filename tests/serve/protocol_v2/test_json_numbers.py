from typing import Any

import numpy as np
import orjson
import pytest

from runtime.artifact.manifest import TensorSpec
from runtime.errors import InputError
from serve.protocol_v2.json_numbers import from_json, to_json
from serve.protocol_v2.tensors import TensorHeader, check_header

IMAGE = TensorSpec("image", "uint8", ("N", 2, 3))
VALUES = TensorSpec("values", "float32", ("N", 2))
COUNTS = TensorSpec("counts", "int64", ("N", 2))
DATATYPE = {"uint8": "UINT8", "float32": "FP32", "int64": "INT64"}


def header(spec: TensorSpec, *shape: int) -> TensorHeader:
    return check_header(spec, datatype=DATATYPE[spec.dtype], shape=list(shape))


def test_a_huge_shape_does_not_overflow() -> None:
    huge = header(IMAGE, 2**63, 2, 3)
    assert huge.size_bytes == 6 * 2**63
    with pytest.raises(InputError, match="has 6 elements; allowed: 55340232221128654848"):
        from_json(huge, [0] * 6)


def test_flat_and_nested_lists_are_the_same_array() -> None:
    flat = from_json(header(IMAGE, 2, 2, 3), list(range(12)))
    nested = from_json(header(IMAGE, 2, 2, 3), np.arange(12).reshape(2, 2, 3).tolist())
    assert flat.dtype == np.uint8
    assert np.array_equal(flat, np.arange(12).reshape(2, 2, 3))
    assert np.array_equal(flat, nested)


def test_lists_of_other_lengths_are_refused_though_their_sum_fits() -> None:
    with pytest.raises(InputError, match="nested otherwise than its shape"):
        from_json(header(COUNTS, 2, 2), [[1, 2, 3], [4]])


def test_numbers_of_every_dtype() -> None:
    values = from_json(header(VALUES, 1, 2), [1, -2.5])
    assert values.dtype == np.float32
    assert values.tolist() == [[1.0, -2.5]]
    counts = from_json(header(COUNTS, 1, 2), [2**63 - 1, -(2**63)])
    assert counts.dtype == np.int64
    assert counts.tolist() == [[2**63 - 1, -(2**63)]]


@pytest.mark.parametrize(
    ("spec", "data", "message"),
    [
        (COUNTS, None, "'counts' has data that is not a list"),
        (COUNTS, {"a": 1}, "'counts' has data that is not a list"),
        (COUNTS, [], "'counts' has 0 elements; allowed: 2"),
        (COUNTS, [1, 2, 3], "'counts' has 3 elements; allowed: 2, as its shape is"),
        (COUNTS, [[1], [2]], "'counts' has data nested otherwise than its shape"),
        (COUNTS, [[1, 2, 3]], "'counts' has data nested otherwise"),
        (COUNTS, [[[1, 2]]], "'counts' has data nested otherwise"),
        (COUNTS, [[1, 2], 3], "'counts' has data nested otherwise"),
        (COUNTS, [1, [2]], "'counts' has elements of type list; allowed: integers"),
        (COUNTS, [1, 2.0], "'counts' has elements of type float; allowed: integers"),
        (COUNTS, [1, True], "'counts' has elements of type bool; allowed: integers"),
        (COUNTS, [1, "2"], "'counts' has elements of type str; allowed: integers"),
        (COUNTS, [1, None], "'counts' has elements of type NoneType"),
        (COUNTS, [1, 2**63], "'counts' has an element out of range; allowed: -92"),
        (VALUES, [1, "2"], "'values' has elements of type str; allowed: numbers"),
        (VALUES, [1, True], "'values' has elements of type bool; allowed: numbers"),
        (VALUES, [1, 1e39], "'values' has an element out of range; allowed: -3.4"),
        (IMAGE, [0, 0, 0, 0, 0, 256], "'image' has an element out of range; allowed: 0 to 255"),
        (IMAGE, [0, 0, 0, 0, 0, -1], "'image' has an element out of range; allowed: 0 to 255"),
    ],
)
def test_invalid_elements_are_refused(spec: TensorSpec, data: Any, message: str) -> None:
    shape = [1 if isinstance(axis, str) else axis for axis in spec.shape]
    with pytest.raises(InputError, match=message):
        from_json(header(spec, *shape), data)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_in_json(value: float) -> None:
    with pytest.raises(InputError, match=r"'y' holds NaN or infinity.* binary_data: true"):
        to_json("y", np.array([1.0, value], np.float32))


def test_lists_are_row_major() -> None:
    assert orjson.dumps(to_json("y", np.array([[1, 2], [3, 4]], np.int64))) == b"[1,2,3,4]"


def test_flags_are_true_false_0_and_1() -> None:
    flags = TensorHeader(TensorSpec("flags", "bool", ("N",)), (4,))
    assert from_json(flags, b"[true,false,1,0]").tolist() == [True, False, True, False]
    for data in (b"[true,false,1,2]", b"[true,false,1,0.0]", b'["1",0,0,0]', b"[null,0,0,0]"):
        with pytest.raises(InputError, match="'flags' has"):
            from_json(flags, data)


def test_half_precision_is_bounded_by_its_own_range() -> None:
    halves = TensorHeader(TensorSpec("halves", "float16", ("N",)), (2,))
    assert from_json(halves, b"[65504,-0.5]").tolist() == [65504, -0.5]
    with pytest.raises(InputError, match="allowed: -65504 to 65504"):
        from_json(halves, b"[70000,0]")
    assert orjson.dumps(to_json("y", np.array([0.5, 2], np.float16))) == b"[0.5,2.0]"


def test_strings_are_flat_or_nested_like_the_shape() -> None:
    texts = TensorHeader(TensorSpec("texts", "string", ("N", 2)), (2, 2))
    for data in (["", "a", "b", "c"], [["", "a"], ["b", "c"]]):
        assert from_json(texts, data).tolist() == [["", "a"], ["b", "c"]]
    for wrong in (["a"], ["a", "b", "c", 1], [["a", "b", "c", "d"], "e"], "abcd", b"[1,2,3,4]"):
        with pytest.raises(InputError, match="'texts' has"):
            from_json(texts, wrong)
