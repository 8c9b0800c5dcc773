"""Smoothing: the same function, with products that read channels of similar sizes."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from convert.export.graph.opset import OPSET
from convert.export.graph.surgery import initializers
from convert.quantize.calibrate import calibrate
from convert.quantize.layers import WEIGHTED
from convert.quantize.passes.smooth_products import products_by_input, smooth_products
from convert.quantize.quantizer import QuantizationConfig, Quantizer
from convert.quantize.search.layer_groups import layer_groups
from convert.quantize.shapes import infer_shapes
from convert.verify.parity import run_samples
from runtime.engine.session import Feeds

WIDTH, ROWS = 32, 6
LARGE = (3, 17)  # channels a hundred times as large as the others


def model() -> onnx.ModelProto:
    """Return two products of one norm's rows, whose sum is also added to these rows.

    Shape of x: (N, ROWS, WIDTH).
    """
    rng = np.random.default_rng(0)
    gain = np.ones(WIDTH, np.float32)
    gain[list(LARGE)] = 100
    kernels = [rng.standard_normal((WIDTH, WIDTH)).astype(np.float32) for _ in range(2)]
    for kernel in kernels:
        kernel[list(LARGE)] /= 100
    nodes = [
        helper.make_node("LayerNormalization", ["x", "gain", "zeros"], ["rows"], "norm"),
        helper.make_node("MatMul", ["rows", "first"], ["a"], "a"),
        helper.make_node("MatMul", ["rows", "second"], ["b"], "b"),
        helper.make_node("Add", ["a", "b"], ["answer"], "sum"),
    ]
    arrays = {"gain": gain, "zeros": gain * 0, "first": kernels[0], "second": kernels[1]}
    shape: list[str | int | None] = ["N", ROWS, WIDTH]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return infer_shapes(helper.make_model(graph, opset_imports=opsets, ir_version=10))


def samples(seed: int) -> list[Feeds]:
    rng = np.random.default_rng(seed)
    return [{"x": rng.standard_normal((1, ROWS, WIDTH)).astype(np.float32)} for _ in range(8)]


def answers(graph: onnx.ModelProto, path: Path) -> NDArray[Any]:
    onnx.save(graph, path)
    return run_samples(path, samples(1))["answer"]


def test_the_function_stays_and_one_division_serves_both_products(tmp_path: Path) -> None:
    before = model()
    stats = calibrate(before, samples(0))
    smoothed = smooth_products(before, stats.channel_abs_max)

    expected = answers(before, tmp_path / "before.onnx")
    np.testing.assert_allclose(answers(smoothed, tmp_path / "after.onnx"), expected, atol=1e-4)
    types = [node.op_type for node in smoothed.graph.node]
    assert types == ["LayerNormalization", "Mul", "MatMul", "MatMul", "Add"]
    after = calibrate(infer_shapes(smoothed), samples(0)).channel_abs_max["rows/smooth"]
    assert stats.channel_abs_max["rows"].max() / stats.channel_abs_max["rows"].min() > 80
    assert after.max() / after.min() < 3


def test_weights_that_are_shared_or_numerics_are_left_alone() -> None:
    shared = model()
    shared.graph.node[2].input[1] = "first"
    assert products_by_input(shared) == {}
    numerics = model()
    numerics.graph.node[1].name = "numerics/product"
    assert [node.name for node in products_by_input(numerics)["rows"]] == ["b"]


def test_a_tensor_that_a_convolution_reads_too_stays_as_it_is() -> None:
    rng = np.random.default_rng(0)
    shape: list[str | int | None] = ["N", 4, ROWS, WIDTH]
    arrays = {"kernel": rng.standard_normal((2, 4, 1, 1)), "product": rng.standard_normal((32, 3))}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "kernel"], ["a"], "conv"),
            helper.make_node("MatMul", ["x", "product"], ["b"], "product"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("a", "b")],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    both = infer_shapes(helper.make_model(graph, opset_imports=opsets, ir_version=10))
    feeds = [{"x": rng.standard_normal((1, 4, ROWS, WIDTH)).astype(np.float32)}]
    stats = calibrate(both, feeds)
    assert stats.channel_means["x"].shape == (4,)
    types = [node.op_type for node in smooth_products(both, stats.channel_abs_max).graph.node]
    assert types == ["Conv", "MatMul"]


def test_a_channel_without_values_keeps_the_weights_finite() -> None:
    silent = {"rows": np.zeros(WIDTH, np.float32)}
    for array in initializers(smooth_products(model(), silent)).values():
        assert np.isfinite(array).all()


def test_static_ranges_are_accurate_with_large_channels(tmp_path: Path) -> None:
    quantizer = Quantizer(model(), samples(0))
    expected = answers(model(), tmp_path / "float.onnx")
    errors = []
    for smoothing in (False, True):
        config = QuantizationConfig(WEIGHTED, matmul_mode="static_weight", smoothing=smoothing)
        answer = answers(quantizer.quantize(config), tmp_path / "int8.onnx")
        errors.append(np.abs(answer - expected).mean() / np.abs(expected).mean())
    assert errors[0] > 0.05
    assert errors[1] < errors[0] / 4


def test_blocks_of_matmul_nbits_need_no_smoothing() -> None:
    quantizer = Quantizer(model(), samples(0))
    plain, smooth = (
        quantizer.quantize(QuantizationConfig(WEIGHTED, matmul_mode="nbits", smoothing=smoothing))
        for smoothing in (False, True)
    )
    assert plain == smooth


@pytest.mark.parametrize("name", ["a", "b"])
def test_products_keep_their_names(name: str) -> None:
    smoothed = smooth_products(model(), {"rows": np.ones(WIDTH, np.float32)})
    groups = layer_groups(infer_shapes(smoothed), samples(0)[0])
    assert name in {node for group in groups for node in group.nodes}
