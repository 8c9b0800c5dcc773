from typing import Any

import numpy as np
import pytest

from runtime.artifact.manifest import TensorSpec
from runtime.errors import InputError
from serve.protocol_v2.tensors import (
    TensorHeader,
    check_header,
    from_bytes,
    header_of_raw,
    metadata,
    to_bytes,
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
        [0, 2, 4],
        [2, 0, 3],
        [True, 2, 3],
        [1.0, 2, 3],
        ["1", 2, 3],
        [],
    ],
)
def test_another_shape_is_refused(shape: Any) -> None:
    with pytest.raises(InputError, match=r"input 'image' has shape .*; allowed: "):
        check_header(IMAGE, datatype="UINT8", shape=shape)


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


def test_a_bool_is_a_byte_of_0_or_1() -> None:
    flags = TensorHeader(TensorSpec("flags", "bool", ("N",)), (3,))
    assert from_bytes(flags, memoryview(b"\0\1\1")).tolist() == [False, True, True]
    with pytest.raises(InputError, match="'flags' is BOOL; allowed: bytes of 0 and 1"):
        from_bytes(flags, memoryview(b"\0\1\2"))


def test_a_batch_may_have_no_rows_but_its_other_axes_are_bounded() -> None:
    rows = TensorSpec("rows", "float32", ("N", "S"))
    assert check_header(rows, datatype="FP32", shape=[0, 5]).size_bytes == 0
    with pytest.raises(InputError, match="has shape"):
        check_header(rows, datatype="FP32", shape=[0, 2**40])
    with pytest.raises(InputError, match="has shape"):
        check_header(rows, datatype="FP32", shape=[5, 0])
