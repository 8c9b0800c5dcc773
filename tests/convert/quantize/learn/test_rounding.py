"""Weights rounded in turn change a layer's answers less than weights rounded to the nearest."""

from typing import Any

import numpy as np
import pytest
import torch
from onnx import helper

from convert.quantize.learn.layerwise import _round_layer
from convert.quantize.learn.moments import Moments, input_count
from convert.quantize.learn.rounding import round_in_turn

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
    images = [RANDOM.normal(1, 2, (1, 4, 9, 8)).astype(np.float32) for _ in range(40)]
    moments = Moments(node, kernel, 60)
    for image in images:
        moments.add(torch.from_numpy(image))
    answers = np.concatenate([convolve(image, weights, options) for image in images])
    own = weights.reshape(len(moments.means), -1, moments.means.shape[1])
    means = np.einsum("goi,gi->go", own, moments.means).reshape(-1)
    variances = np.einsum("goi,gij,goj->go", own, moments.covariances, own).reshape(-1)
    assert input_count(node, kernel) == own.shape[2]
    np.testing.assert_allclose(means, answers.mean((0, 2, 3)), atol=1e-4)
    np.testing.assert_allclose(variances, answers.var((0, 2, 3)), rtol=0.25)


def convolve(image: np.ndarray, weights: np.ndarray, options: dict[str, Any]) -> np.ndarray:
    others: dict[str, Any] = dict(options)
    top, left, bottom, right = others.pop("pads", [0, 0, 0, 0])
    names = {"strides": "stride", "dilations": "dilation", "group": "groups"}
    result: np.ndarray = torch.nn.functional.conv2d(
        torch.nn.functional.pad(torch.from_numpy(image), [left, right, top, bottom]),
        torch.from_numpy(weights),
        **{names[name]: value for name, value in others.items()},
    ).numpy()
    return result


def test_the_bias_keeps_the_mean_answer_of_a_layer() -> None:
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], "layer", group=2)
    weights = RANDOM.normal(size=(6, 2, 3, 3)).astype(np.float32)
    bias = RANDOM.normal(size=6).astype(np.float32)
    moments = Moments(node, weights.shape, 50)
    for _ in range(10):
        moments.add(torch.from_numpy(RANDOM.normal(3, 1, (1, 4, 9, 9)).astype(np.float32)))
    scale = np.full((6, 1, 1, 1), 0.2, np.float32)
    layer = _round_layer(node, weights, bias, scale, moments)
    assert layer.bias is not None
    before, after = (
        np.einsum("goi,gi->go", own.reshape(2, 3, -1), moments.means).reshape(-1)
        for own in (weights, layer.weight)
    )
    np.testing.assert_allclose(after + layer.bias, before + bias, atol=1e-4)
    assert np.abs(after - before).max() > 1e-3
    steps = layer.weight / scale
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
