"""Rounding to 8 bits as QuantizeLinear and DequantizeLinear do it, with gradients."""

from typing import Any

import torch
from torch import Tensor

LEVELS = 255  # steps of an unsigned byte
SMALLEST_RANGE = 1e-8


class _FakeQuantize(torch.autograd.Function):
    """Rounding whose gradient is that of the identity inside of the range, and 0 outside.

    The gradients of scale and zero point are those of the rounded values.

    Source: Esser et al., https://arxiv.org/abs/1902.08153, and Bhalgat et al.,
    https://arxiv.org/abs/2004.09576, for the zero point.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
        """Return x in steps of the scale, clipped to 256 of them."""
        step, zero = scale.item(), zero_point.item()
        rounded = (x / step).round_().clamp_(-zero, LEVELS - zero).mul_(step)
        low, high = (-zero - 0.5) * step, (LEVELS - zero + 0.5) * step
        least, largest = (bound.item() for bound in torch.aminmax(x))
        is_clipped = least < low or largest > high
        outside = (x < low) | (x > high) if is_clipped else None
        ctx.save_for_backward(x, rounded, outside)
        ctx.step = step
        return rounded

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of x, scale and zero point."""
        (gradient,) = gradients
        x, rounded, outside = ctx.saved_tensors
        of_scale = _dot(rounded - x, gradient)
        if outside is None:
            return gradient, of_scale / ctx.step, torch.zeros(())
        of_clipped = gradient * outside
        of_scale += _dot(x, of_clipped)  # there the rounded value counts, not its error
        return gradient - of_clipped, of_scale / ctx.step, -of_clipped.sum() * ctx.step


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.dot(a.reshape(-1), b.reshape(-1))


def round_through(x: Tensor) -> Tensor:
    """Round; the gradient passes as if nothing was rounded."""
    return x + (x.round() - x).detach()


def scale_and_zero_point(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scale and the zero point of a range, as onnxruntime's quantizer computes them.

    Args:
        low: the least value, at most 0.
        high: the largest value, at least 0.
    """
    scale = torch.clamp(high - low, min=SMALLEST_RANGE) / LEVELS
    return scale, torch.clamp(round_through(-low / scale), 0, LEVELS)


def fake_quantize(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return x as bytes hold it, in float."""
    result: Tensor = _FakeQuantize.apply(x, *scale_and_zero_point(low, high))
    return result
