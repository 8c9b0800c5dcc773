"""Each formula by hand, in numpy and as nodes."""

from typing import Literal

import numpy as np
import pytest
from onnx import TensorProto, helper

from convert.export.numerics import (
    PREFIX,
    Head,
    ImageInput,
    Probabilities,
    StretchedAlpha,
    UnitEmbedding,
    attach,
)
from tests.convert.support.numerics import (
    MEAN,
    STD,
    TOLERANCE,
    check_head,
    make_model,
    run_input,
    run_model,
)


@pytest.mark.parametrize("divisor", ["255", "image_maximum"])
@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("channels", [1, 3])
def test_image_formula_and_nodes_agree(
    divisor: Literal["255", "image_maximum"],
    order: Literal["RGB", "BGR"],
    layout: Literal["NCHW", "NHWC"],
    channels: Literal[1, 3],
) -> None:
    image = ImageInput(5, 7, channels, MEAN[:channels], STD[:channels], divisor, order, layout)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 7, channels)).astype(np.uint8)
    pixels[0] = 0  # black: the divisor is guarded
    pixels[1] //= 9  # dark: its own maximum is far from 255
    (formula,) = image.apply(pixels)
    assert formula.dtype == np.float32
    assert formula.flags.c_contiguous
    planes = formula if layout == "NCHW" else formula.transpose(0, 3, 1, 2)
    assert planes.shape == (3, channels, 5, 7)
    np.testing.assert_allclose(run_input(image, pixels), planes, atol=TOLERANCE * 3)


def test_image_by_hand() -> None:
    image = ImageInput(1, 1, 3, mean=(0.5, 0.0, 0.2), std=(0.5, 1.0, 0.1))
    pixels = np.array([[[[255, 51, 0]]]], np.uint8)
    expected = np.array([1.0, 0.2, -2.0])  # (1 - .5) / .5, (.2 - 0) / 1, (0 - .2) / .1
    np.testing.assert_allclose(image.apply(pixels)[0].ravel(), expected, atol=TOLERANCE)
    np.testing.assert_allclose(run_input(image, pixels).ravel(), expected, atol=TOLERANCE)


def test_mean_needs_a_value_for_each_channel() -> None:
    with pytest.raises(ValueError, match="mean has 1 values for 3 channels"):
        ImageInput(1, 1, 3, mean=(0.5,), std=(1.0, 1.0, 1.0))


def test_bgr_by_hand_with_the_mean_in_the_networks_order() -> None:
    image = ImageInput(1, 1, 3, (0.1, 0.2, 0.3), (1.0, 1.0, 1.0), channel_order="BGR")
    pixels = np.array([[[[255, 0, 51]]]], np.uint8)
    expected = np.array([0.1, -0.2, 0.7])  # blue .2 - .1, green 0 - .2, red 1 - .3
    np.testing.assert_allclose(image.apply(pixels)[0].ravel(), expected, atol=TOLERANCE)
    np.testing.assert_allclose(run_input(image, pixels).ravel(), expected, atol=TOLERANCE)


def test_image_maximum_is_of_each_image_over_all_channels() -> None:
    image = ImageInput(1, 2, 3, (0.0,) * 3, (1.0,) * 3, divisor="image_maximum")
    pixels = np.array([[[[10, 20, 40], [0, 0, 0]]], [[[0, 0, 0], [0, 0, 0]]]], np.uint8)
    expected = np.array([[0.25, 0, 0.5, 0, 1, 0], [0] * 6], np.float32)
    np.testing.assert_allclose(image.apply(pixels)[0].reshape(2, 6), expected, atol=TOLERANCE)
    planes = run_input(image, pixels).reshape(2, 6)
    np.testing.assert_allclose(planes, expected, atol=TOLERANCE)


def test_image_maximum_of_a_nearly_black_image() -> None:
    image = ImageInput(1, 1, 3, (0.0,) * 3, (1.0,) * 3, divisor="image_maximum")
    pixels = np.array([[[[2, 1, 0]]], [[[1, 0, 0]]]], np.uint8)
    expected = np.array([[1, 0.5, 0], [1, 0, 0]], np.float32)
    for planes in (image.apply(pixels)[0], run_input(image, pixels)):
        np.testing.assert_allclose(planes.reshape(2, 3), expected, atol=TOLERANCE)


def test_softmax_by_hand() -> None:
    outputs = check_head(Probabilities(softmax=True), [[0, 0, 0, 0], [np.log(3), 0, -1e4, -1e4]])
    expected = np.array([[0.25] * 4, [0.75, 0.25, 0, 0]])
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=TOLERANCE)


def test_softmax_of_large_logits_is_finite() -> None:
    probabilities = check_head(Probabilities(softmax=True), [[1e4, 1e4 - 1, 0]])["probabilities"]
    np.testing.assert_allclose(probabilities, [[0.7310586, 0.2689414, 0]], atol=TOLERANCE)


def test_probabilities_pass_unchanged() -> None:
    probabilities = check_head(Probabilities(softmax=False), [[0.2, 0.8]])["probabilities"]
    np.testing.assert_array_equal(probabilities, np.array([[0.2, 0.8]], np.float32))


def test_unit_embedding_by_hand() -> None:
    embedding = check_head(UnitEmbedding(), [[3, 4], [0, 0], [-1e-6, 0]])["embedding"]
    np.testing.assert_allclose(embedding, np.array([[0.6, 0.8], [0, 0], [-1, 0]]), atol=TOLERANCE)


def test_stretched_alpha_by_hand() -> None:
    maps = [[[[0.2, 0.4], [0.3, 0.6]]], [[[0.7, 0.7], [0.7, 0.7]]], [[[0, 0], [0, 1]]]]
    outputs = check_head(StretchedAlpha(), maps)
    alpha = np.array([[[0, 0.5], [0.25, 1]], [[0, 0], [0, 0]], [[0, 0], [0, 1]]])
    np.testing.assert_allclose(outputs["alpha"], alpha, atol=TOLERANCE)
    np.testing.assert_allclose(
        outputs["alpha_range"], np.array([[0.2, 0.6], [0.7, 0.7], [0, 1]]), atol=1e-7
    )


def test_nearly_constant_map_is_not_stretched_to_noise() -> None:
    outputs = check_head(StretchedAlpha(), [[[[0.5, 0.5 + 6e-8]]]])
    assert outputs["alpha"].max() < 0.1  # guarded: 6e-8 / 1e-6


@pytest.mark.parametrize(
    ("head", "shape", "expected_shape", "tensors"),
    [
        (Probabilities(softmax=True), (1, 9), ("N", "K"), {"probabilities": ("N", 9)}),
        (UnitEmbedding(), (1, 9), ("N", "D"), {"embedding": ("N", 9)}),
        (
            StretchedAlpha(),
            (1, 1, 4, 9),
            ("N", 1, 4, 9),
            {"alpha": ("N", 4, 9), "alpha_range": ("N", 2)},
        ),
    ],
)
def test_shapes_that_heads_expect_and_return(
    head: Head,
    shape: tuple[int, ...],
    expected_shape: tuple[int | str, ...],
    tensors: dict[str, tuple[int | str, ...]],
) -> None:
    inputs = ImageInput(4, 9, 3, MEAN, STD).tensors
    assert head.expected_shapes(inputs) == (expected_shape,)
    outputs = head.tensors([shape], inputs)
    assert {tensor.name: tensor.shape for tensor in outputs} == tensors
    assert {tensor.dtype for tensor in outputs} == {"float32"}


@pytest.mark.parametrize("name", ["x", "image"])
def test_attach_puts_numerics_around_a_network(name: str) -> None:
    core = make_model(
        helper.make_graph(
            [
                helper.make_node("ReduceMean", [name], ["features"], axes=[2, 3], keepdims=0),
            ],
            "core",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3, 2, 2])],
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 3])],
        )
    )
    image, head = ImageInput(2, 2, 3, (0.0,) * 3, (1.0,) * 3), UnitEmbedding()
    model = attach(core, input=image, head=head, outputs=head.tensors([(1, 3)], image.tensors))
    pixels = np.zeros((2, 2, 2, 3), np.uint8)
    pixels[0, ..., 0], pixels[0, ..., 2] = 30, 40
    embedding = run_model(model, {"image": pixels})["embedding"]
    np.testing.assert_allclose(embedding, np.array([[0.6, 0, 0.8], [0, 0, 0]]), atol=TOLERANCE)
    numerics = [node.name for node in model.graph.node if node.name.startswith(PREFIX)]
    assert len(numerics) == len(model.graph.node) - 1
