"""Output axes, depthwise convolutions, and rounding with a scale per channel."""

from typing import Any

import numpy as np
import pytest
from onnx import helper

from convert.quantize.layers import attributes, is_depthwise, output_axis, round_symmetric


@pytest.mark.parametrize(
    ("op_type", "options", "shape", "axis"),
    [
        ("Conv", {}, (8, 3, 5, 5), 0),
        ("ConvTranspose", {}, (3, 8, 5, 5), 1),
        ("Gemm", {}, (3, 8), 1),
        ("Gemm", {"transB": 1}, (8, 3), 0),
        ("MatMul", {}, (3, 8), 1),
        ("MatMul", {}, (2, 3, 8), 2),
    ],
)
def test_output_axis_has_the_output_channels(
    op_type: str, options: dict[str, Any], shape: tuple[int, ...], axis: int
) -> None:
    node = helper.make_node(op_type, ["x", "w"], ["y"], **options)
    assert output_axis(node, len(shape)) == axis
    assert shape[axis] == 8


@pytest.mark.parametrize(
    ("op_type", "groups", "shape", "depthwise"),
    [
        ("Conv", 8, (8, 1, 3, 3), True),
        ("ConvInteger", 8, (8, 1, 3, 3), True),
        ("Conv", 8, (16, 1, 3, 3), False),  # two outputs for each channel
        ("Conv", 4, (4, 2, 3, 3), False),  # two channels for each output
        ("Conv", 1, (1, 1, 3, 3), False),
        ("ConvTranspose", 8, (8, 1, 3, 3), False),
    ],
)
def test_depthwise_convolutions_filter_each_channel_alone(
    op_type: str, groups: int, shape: tuple[int, ...], depthwise: bool
) -> None:
    node = helper.make_node(op_type, ["x", "w"], ["y"], group=groups)
    assert is_depthwise(node, np.zeros(shape)) is depthwise


def test_attributes_are_python_values() -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=2, pads=[1, 0], auto_pad="VALID")
    assert attributes(node) == {"group": 2, "pads": [1, 0], "auto_pad": b"VALID"}


def test_rounding_has_a_scale_for_each_row() -> None:
    values = np.array([[2, -1, 0.5], [0, 0, 0], [-127, 63.6, 0]], np.float32)
    integers, scales = round_symmetric(values, (1,))
    np.testing.assert_allclose(scales, np.array([[2 / 127], [0], [1]]))
    assert integers.tolist() == [[127, -64, 32], [0, 0, 0], [-127, 64, 0]]
    assert {integers.dtype.name, scales.dtype.name} == {"float32"}
