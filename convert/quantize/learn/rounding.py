"""Rounding of a layer's weights, one after the other: those to come make up for the error so far.

The inputs of a layer vary together: neighbours in an image are alike. So a weight that was rounded
up can be made up for by others that are rounded down. Rounded to the nearest, errors add up.

Source: Frantar et al., https://arxiv.org/abs/2210.17323, with the covariance of the inputs, because
the bias makes up for the mean.
"""

import numpy as np

from convert.quantize.layers import INT8_MAX, Array

DAMPING = 0.1  # of the mean variance, added to each: samples to come differ a little
CAUTION = 3.0  # likewise, where weights change: they must not fit the samples alone


def best_weights(weights: Array, inputs: Array, answers: Array) -> Array:
    """Return weights that answer from rounded inputs what the float layer does from its own.

    Args:
        weights: (outputs, inputs), of the float layer.
        inputs: (inputs, inputs), the covariance of the rounded inputs.
        answers: (outputs, inputs), that of the float layer's answers with them.
    """
    missing = answers - weights @ inputs
    result: Array = weights + np.linalg.solve(_damped(inputs, CAUTION), missing.T).T
    return result


def round_in_turn(weights: Array, scale: Array, covariance: Array) -> Array:
    """Return integers in [-127, 127] that change a layer's answers the least.

    Args:
        weights: (outputs, inputs).
        scale: (outputs, 1); 0 where all weights of an output are 0.
        covariance: (inputs, inputs) of what is multiplied.
    """
    order = np.argsort(-np.diag(covariance), kind="stable")
    # the upper factor of the inverse holds how the weights to come make up for each one
    damped = _damped(covariance[np.ix_(order, order)], DAMPING)
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T
    steps = (weights / np.where(scale > 0, scale, 1))[:, order].astype(np.float64)
    integers = np.zeros_like(steps)
    for index in range(len(order)):
        integers[:, index] = np.clip(np.rint(steps[:, index]), -INT8_MAX, INT8_MAX)
        error = (steps[:, index] - integers[:, index]) / factor[index, index]
        steps[:, index + 1 :] -= np.outer(error, factor[index, index + 1 :])
    result = np.empty_like(integers)
    result[:, order] = integers
    return result


def _damped(covariance: Array, share: float) -> Array:
    least = max(float(np.diag(covariance).mean()), float(np.finfo(np.float32).tiny))
    result: Array = covariance + np.eye(len(covariance)) * (share * least)
    return result
