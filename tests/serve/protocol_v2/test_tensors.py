from typing import Any

import numpy as np
import pytest

from runtime.artifact.manifest import TensorSpec
from runtime.errors import InputError
from serve.protocol_v2.tensors import (
    TensorHeader,
    check_header,
    from_bytes,
    from_json,
    header_of_raw,
    metadata,
    to_bytes,
    to_flat_list,
)

IMAGE = TensorSpec("image", "uint8", ("N", 2, 3))
VALUES = TensorSpec("values", "float32", ("N", 2))
COUNTS = TensorSpec("counts", "int64", ("N", 2))
DATATYPE = {"uint8": "UINT8", "float32": "FP32", "int64": "INT64"}


def header(spec: TensorSpec, *shape: int) -> TensorHeader:
    return check_header(spec, datatype=DATATYPE[spec.dtype], shape=list(shape))


def test_metadata_has_minus_one_for_an_axis_of_any_size() -> None:
    assert metadata(IMAGE) == {"name": "image", "datatype": "UINT8", "shape": [-1, 2, 3]}


@pytest.mark.parametrize("datatype", ["FP32", "uint8", None, 5, ["UINT8"]])
def test_another_datatype_is_refused(datatype: Any) -> None:
    with pytest.raises(InputError, match=r"input 'image' has datatype .*; allowed: UINT8"):
        check_header(IMAGE, datatype=datatype, shape=[1, 2, 3])


@pytest.mark.parametrize(
    "shape",
    [
        None,
        "1,2,3",
        {},
        [1, 2],
        [1, 2, 3, 1],
        [1, 2, 4],
        [1, 3, 2],
        [-1, 2, 3],
        [0, 2, 3],
        [True, 2, 3],
        [1.0, 2, 3],
        ["1", 2, 3],
        [],
    ],
)
def test_another_shape_is_refused(shape: Any) -> None:
    with pytest.raises(InputError, match=r"input 'image' has shape .*; allowed: "):
        check_header(IMAGE, datatype="UINT8", shape=shape)


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


def test_bytes_are_little_endian_and_row_major() -> None:
    data = bytes.fromhex("0100000000000000 feffffffffffffff")
    array = from_bytes(header(COUNTS, 1, 2), memoryview(data))
    assert array.dtype == np.int64
    assert array.tolist() == [[1, -2]]
    assert to_bytes(array) == data
    assert to_bytes(np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3))) == bytes(
        range(6)
    )


def test_raw_bytes_determine_the_only_axis_of_any_size() -> None:
    assert header_of_raw(IMAGE, 12).shape == (2, 2, 3)
    assert header_of_raw(TensorSpec("x", "float32", (2,)), 8).shape == (2,)


@pytest.mark.parametrize(
    ("shape", "size", "message"),
    [
        (("N", 2, 3), 0, "has 0 bytes; allowed: a multiple of 24 bytes"),
        (("N", 2, 3), 25, "has 25 bytes; allowed: a multiple of 24 bytes"),
        ((2, 3), 48, "has 48 bytes; allowed: 24 bytes"),
        (("N", "L"), 24, "has 2 axes of any size; send its shape"),
    ],
)
def test_raw_bytes_of_no_whole_rows_are_refused(
    shape: tuple[int | str, ...], size: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        header_of_raw(TensorSpec("x", "float32", shape), size)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_in_json(value: float) -> None:
    with pytest.raises(InputError, match=r"'y' holds NaN or infinity.* binary_data: true"):
        to_flat_list("y", np.array([1.0, value], np.float32))


def test_lists_are_row_major() -> None:
    assert to_flat_list("y", np.array([[1, 2], [3, 4]], np.int64)) == [1, 2, 3, 4]
