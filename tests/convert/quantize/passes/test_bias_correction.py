"""Biases lose what rounded weights add on average; float layers keep theirs."""

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from convert.export.graph.opset import OPSET
from convert.quantize.calibrate import calibrate
from convert.quantize.layers import WEIGHTED
from convert.quantize.passes.bias_correction import has_plain_bias
from convert.quantize.quantizer import QuantizationConfig, Quantizer
from convert.quantize.shapes import infer_shapes

SIDE, CHANNELS = 8, 4


def graph(groups: int) -> onnx.ModelProto:
    """Return a convolution of four channels, a mean, and a linear layer of three outputs."""
    rng = np.random.default_rng(7)
    # one large weight per channel makes a step of 0.03, and all others are rounded down to 0
    kernel = rng.uniform(0.008, 0.014, (CHANNELS, CHANNELS // groups, 3, 3)).astype(np.float32)
    kernel[:, :, 1, 1] = 4
    matrix = rng.uniform(0.008, 0.014, (3, CHANNELS)).astype(np.float32)
    matrix[:, 0] = 4
    arrays = {
        "kernel": kernel,
        "kernel_bias": np.zeros(CHANNELS, np.float32),
        "matrix": matrix,
        "matrix_bias": np.zeros(3, np.float32),
    }
    node = helper.make_node
    nodes = [
        node("Conv", ["image", "kernel", "kernel_bias"], ["a"], "conv", pads=[1] * 4, group=groups),
        node("GlobalAveragePool", ["a"], ["b"], "pool"),
        node("Flatten", ["b"], ["c"], "flatten"),
        node("Gemm", ["c", "matrix", "matrix_bias"], ["y"], "gemm", transB=1),
    ]
    return helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [
                helper.make_tensor_value_info(
                    "image", TensorProto.FLOAT, ["N", CHANNELS, SIDE, SIDE]
                )
            ],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
            [numpy_helper.from_array(array, name) for name, array in arrays.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=10,
    )


def feeds(count: int = 16) -> list[dict[str, NDArray[Any]]]:
    rng = np.random.default_rng(11)
    shape = (1, CHANNELS, SIDE, SIDE)
    return [{"image": rng.uniform(0, 1, shape).astype(np.float32)} for _ in range(count)]


def outputs(model: onnx.ModelProto) -> NDArray[Any]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.concatenate([session.run(None, feed)[0] for feed in feeds()])


@pytest.mark.parametrize("groups", [1, 2, CHANNELS])
def test_bias_correction_removes_the_mean_error_of_rounded_weights(groups: int) -> None:
    model = graph(groups)
    quantizer = Quantizer(model, feeds())
    before, after = (
        np.abs((outputs(quantizer.quantize(config)) - outputs(model)).mean(axis=0))
        for config in (
            QuantizationConfig(WEIGHTED),
            QuantizationConfig(WEIGHTED, bias_correction=True),
        )
    )
    # the rest is the rounding of activations, one step of the output at most
    assert before.mean() > 0.05
    assert after.mean() < before.mean() / 4


def test_means_are_per_channel() -> None:
    means = calibrate(infer_shapes(graph(1)), feeds()).channel_means
    images = np.concatenate([feed["image"] for feed in feeds()])
    np.testing.assert_allclose(means["image"], images.mean(axis=(0, 2, 3)), atol=1e-6)


def test_layers_in_float_keep_their_bias() -> None:
    model = graph(1)
    config = QuantizationConfig(WEIGHTED, frozenset({"conv"}), bias_correction=True)
    quantized = Quantizer(model, feeds()).quantize(config)
    tensors = {tensor.name: tensor for tensor in quantized.graph.initializer}
    np.testing.assert_array_equal(numpy_helper.to_array(tensors["kernel_bias"]), np.zeros(CHANNELS))


def test_layers_that_scale_products_or_bias_are_not_corrected() -> None:
    (gemm,) = (node for node in graph(1).graph.node if node.op_type == "Gemm")
    assert has_plain_bias(gemm)
    for name in ("alpha", "beta"):
        scaled = onnx.NodeProto()
        scaled.CopyFrom(gemm)
        scaled.attribute.append(helper.make_attribute(name, 0.5))
        assert not has_plain_bias(scaled)
