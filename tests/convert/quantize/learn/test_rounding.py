"""Weights rounded in turn change a layer's answers less than weights rounded to the nearest."""

from typing import Any

import numpy as np
import pytest
from onnx import helper

from convert.quantize.learn.layerwise import _round_layer
from convert.quantize.learn.learned import LayerScale
from convert.quantize.learn.moments import Answers, Moments, input_count
from convert.quantize.learn.pieces import Rounded
from convert.quantize.learn.rounding import best_weights, round_in_turn

RANDOM = np.random.default_rng(6)


def alike(count: int) -> np.ndarray:
    """Return the covariance of inputs that are alike, as neighbours in an image."""
    distance = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    covariance: np.ndarray = 0.95**distance
    return covariance


def answer_error(difference: np.ndarray, covariance: np.ndarray) -> float:
    """Return the variance of a layer's answers that a difference of its weights causes."""
    return float(np.einsum("oi,ij,oj->", difference, covariance, difference))


def nearest(weights: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(weights / scale), -127, 127)


def test_rounding_in_turn_makes_up_for_errors() -> None:
    weights = RANDOM.normal(size=(8, 27))
    scale = np.abs(weights).max(axis=1, keepdims=True) / 127
    covariance = alike(27)
    rounded = round_in_turn(weights, scale, covariance)
    errors = [
        answer_error(integers * scale - weights, covariance)
        for integers in (nearest(weights, scale), rounded)
    ]
    assert errors[1] < 0.3 * errors[0]
    assert np.array_equal(rounded, np.rint(rounded))
    assert np.abs(rounded).max() <= 127


def test_independent_inputs_are_rounded_to_the_nearest() -> None:
    weights = RANDOM.normal(size=(4, 16))
    scale = np.full((4, 1), 0.05)
    rounded = round_in_turn(weights, scale, np.diag(RANDOM.uniform(1, 2, 16)))
    assert np.array_equal(rounded, nearest(weights, scale))


def test_an_output_without_weights_and_an_input_without_values_stay_zero() -> None:
    weights = RANDOM.normal(size=(2, 6))
    weights[1], weights[:, 2] = 0, 0
    covariance = alike(6)
    covariance[2], covariance[:, 2] = 0, 0
    rounded = round_in_turn(weights, np.array([[0.01], [0.0]]), covariance)
    assert not rounded[1].any()
    assert not rounded[:, 2].any()
    assert np.isfinite(rounded).all()


@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        ((5, 4, 3, 3), {"pads": [1, 1, 1, 1]}),
        ((5, 4, 3, 2), {"strides": [2, 1], "pads": [0, 1, 2, 0], "dilations": [1, 2]}),
        ((4, 1, 3, 3), {"group": 4}),
        ((6, 2, 1, 1), {"group": 2}),
    ],
)
def test_moments_are_those_of_what_the_weights_multiply(
    kernel: tuple[int, ...], options: dict[str, Any]
) -> None:
    """Means and covariances give the mean and the variance of the layer's own answers."""
    weights = RANDOM.normal(size=kernel).astype(np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], "layer", **options)
    images = [RANDOM.integers(0, 256, (1, 4, 9, 8)).astype(np.uint8) for _ in range(40)]
    moments, own = Moments(node, kernel, 60), Answers(node, 60)
    answers = []
    for number, image in enumerate(images):
        x = Rounded(image, 0.01, 100)
        answers.append(convolve((image.astype(np.float32) - 100) * 0.01, weights, options))
        own.add(answers[-1])
        moments.add(x, number, own.samples[number])
    y = np.concatenate(answers)
    rows = weights.reshape(len(moments.means), -1, moments.means.shape[1])
    means = np.einsum("goi,gi->go", rows, moments.means).reshape(-1)
    assert input_count(node, kernel) == rows.shape[2]
    np.testing.assert_allclose(means, y.mean((0, 2, 3)), atol=1e-4)
    np.testing.assert_allclose(own.means, y.mean((0, 2, 3)), atol=1e-4)
    for is_centred, expected in ((True, y.var((0, 2, 3))), (False, (y**2).mean((0, 2, 3)))):
        covariances, crossed = moments.covariances(is_centred=is_centred)
        variances = np.einsum("goi,gij,goj->go", rows, covariances, rows).reshape(-1)
        np.testing.assert_allclose(variances, expected, rtol=0.25)
        # answers that are these weights' own go together with the inputs as those do
        np.testing.assert_allclose(crossed, rows @ covariances, atol=1e-3)


@pytest.mark.parametrize("operator", ["MatMul", "Gemm"])
def test_moments_of_a_product(operator: str) -> None:
    weights = RANDOM.normal(size=(5, 3)).astype(np.float32)
    node = helper.make_node(operator, ["x", "w"], ["y"], "layer")
    moments, own = Moments(node, weights.shape, 100), Answers(node, 100)
    values = RANDOM.integers(0, 256, (4, 6, 5)).astype(np.uint8)
    for number, sample in enumerate(values):
        x = (sample.astype(np.float32) - 7) * 0.5
        own.add(x @ weights)
        moments.add(Rounded(sample, 0.5, 7), number, own.samples[number])
    floats = ((values.astype(np.float64) - 7) * 0.5).reshape(-1, 5)
    covariances, crossed = moments.covariances(is_centred=True)
    np.testing.assert_allclose(moments.means[0], floats.mean(0), rtol=1e-5)
    np.testing.assert_allclose(covariances[0], np.cov(floats.T, bias=True), rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(crossed[0], weights.T @ covariances[0], rtol=1e-3, atol=0.1)
    assert input_count(node, weights.shape) == 5


def test_the_best_weights_make_up_for_errors_of_the_inputs() -> None:
    # an input that rounding halved is weighted twice, as far as caution lets it
    weights = RANDOM.normal(size=(4, 6))
    halves = np.array([1, 1, 0.5, 1, 1, 1])
    inputs = alike(6)  # of the float layer
    rounded = inputs * np.outer(halves, halves)
    crossed = weights @ (inputs * halves)
    best = best_weights(weights, rounded, crossed)

    def lost(candidate: np.ndarray) -> float:
        return answer_error(candidate * halves - weights, inputs)

    assert lost(best) < 0.3 * lost(weights)
    np.testing.assert_allclose(best_weights(weights, inputs, weights @ inputs), weights)


def convolve(image: np.ndarray, weights: np.ndarray, options: dict[str, Any]) -> np.ndarray:
    import torch

    others: dict[str, Any] = dict(options)
    top, left, bottom, right = others.pop("pads", [0, 0, 0, 0])
    names = {"strides": "stride", "dilations": "dilation", "group": "groups"}
    result: np.ndarray = torch.nn.functional.conv2d(
        torch.nn.functional.pad(torch.from_numpy(image), [left, right, top, bottom]),
        torch.from_numpy(weights),
        **{names[name]: value for name, value in others.items()},
    ).numpy()
    return result


@pytest.mark.parametrize("has_bias", [True, False])
def test_the_bias_keeps_the_mean_answer_of_a_layer(has_bias: bool) -> None:
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], "layer", group=2)
    weights = RANDOM.normal(size=(6, 2, 3, 3)).astype(np.float32)
    moments, own = Moments(node, weights.shape, 50), Answers(node, 50)
    for number in range(10):
        image = RANDOM.integers(0, 256, (1, 4, 9, 9)).astype(np.uint8)
        exact = image * 0.02 + RANDOM.normal(0.3, 0.1, image.shape)  # before rounding
        own.add(convolve(exact.astype(np.float32), weights, {"group": 2}) + 0.7)
        moments.add(Rounded(image, 0.02, 0), number, own.samples[number])
    scale = np.full(6, 0.2, np.float32)
    layer = _round_layer(node, {"w": weights}, LayerScale(scale, has_bias), moments, own.means)
    steps = layer.weight / 0.2
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    means = np.einsum(
        "goi,gi->go", layer.weight.reshape(2, 3, -1).astype(np.float64), moments.means
    ).reshape(-1)
    if has_bias:
        assert layer.bias is not None
        np.testing.assert_allclose(means + layer.bias, own.means, atol=1e-4)
    else:
        assert layer.bias is None
