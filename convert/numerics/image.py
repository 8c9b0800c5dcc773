"""Decoded pixels to a network's input."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from convert.numerics.fragment import PREFIX, Array, Fragment, constant
from runtime.manifest import TensorSpec


@dataclass(frozen=True, slots=True)
class ImageInput:
    """From uint8 pixels to what the network takes: (image / divisor - mean) / std per channel."""

    height: int  # px
    width: int  # px
    channels: int  # 1 or 3
    mean: tuple[float, ...]  # per channel, after the division
    std: tuple[float, ...]
    # "image_maximum": of each image, at least 1; "1": the network takes levels of 0 to 255
    divisor: Literal["255", "1", "image_maximum"] = "255"
    channel_order: Literal["RGB", "BGR"] = "RGB"  # that the network takes; images are RGB
    layout: Literal["NCHW", "NHWC"] = "NCHW"  # that the reference framework takes

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """`image` (N, H, W, C)."""
        shape = ("N", self.height, self.width, self.channels)
        return (TensorSpec("image", "uint8", shape),)

    def apply(self, *given: NDArray[Any]) -> tuple[Array, ...]:
        """(N, H, W, C) uint8 RGB to the reference network's float32 input, in its own layout."""
        (image,) = given
        pixels = image.astype(np.float32)
        if self.channel_order == "BGR":
            pixels = pixels[..., ::-1]
        if self.divisor == "image_maximum":
            divisor: Array = np.maximum(pixels.max(axis=(1, 2, 3), keepdims=True), np.float32(1))
        else:
            divisor = np.array(float(self.divisor), np.float32)
        scaled = pixels / divisor
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        normalised = (scaled - mean) / std
        if self.layout == "NCHW":
            normalised = normalised.transpose(0, 3, 1, 2)
        return (np.ascontiguousarray(normalised, np.float32),)

    def nodes(self, *outputs: str) -> Fragment:
        """`image` to the one tensor named, (N, C, H, W) float32 whatever the layout.

        Normalisation is a 1 x 1 convolution: it runs on the same blocked layout as the layer after
        it, where Sub and Div would each pass over float pixels in NHWC.
        """
        p = PREFIX
        nodes = [
            helper.make_node(
                "Transpose", ["image"], [p + "nchw"], p + "transpose", perm=[0, 3, 1, 2]
            ),
            helper.make_node(
                "Cast", [p + "nchw"], [p + "float"], p + "cast", to=onnx.TensorProto.FLOAT
            ),
        ]
        initializers, source = [], p + "float"
        if self.divisor == "image_maximum":
            initializers.append(constant("one", np.float32(1)))
            nodes += [
                helper.make_node(
                    "ReduceMax",
                    [source],
                    [p + "peak"],
                    p + "reduce_max",
                    axes=[1, 2, 3],
                    keepdims=1,
                ),
                helper.make_node("Max", [p + "peak", p + "one"], [p + "divisor"], p + "max"),
                helper.make_node("Div", [source, p + "divisor"], [p + "scaled"], p + "div"),
            ]
            source = p + "scaled"
        weight, bias = self._convolution()
        initializers += [constant("weight", weight), constant("bias", bias)]
        inputs = [source, p + "weight", p + "bias"]
        nodes.append(
            helper.make_node("Conv", inputs, outputs, p + "normalize", kernel_shape=[1, 1])
        )
        return Fragment(tuple(nodes), tuple(initializers))

    def _convolution(self) -> tuple[Array, Array]:
        divisor = 1.0 if self.divisor == "image_maximum" else float(self.divisor)
        scale = 1.0 / (divisor * np.array(self.std, np.float64))
        bias = -np.array(self.mean, np.float64) / np.array(self.std, np.float64)
        matrix = np.diag(scale)
        if self.channel_order == "BGR":
            matrix = matrix[:, ::-1]
        return matrix.astype(np.float32)[:, :, None, None], bias.astype(np.float32)
