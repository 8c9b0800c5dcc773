"""Decoded pixels to a network's input."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from convert.export.numerics.fragment import PREFIX, Array, Fragment, constant
from runtime.artifact.manifest import TensorSpec

SCALE, SHIFT = "scale", "shift"  # names of the two nodes and their constants, below PREFIX


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

    def __post_init__(self) -> None:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                raise ValueError(f"{name} has {len(values)} values for {self.channels} channels")

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

        Two passes over the pixels as they lie. The constants fill a row of the image, so that both
        run along it: broadcast along three channels each takes several times as long. A 1 x 1
        convolution, which onnxruntime fills up to 16 channels, took a fifth of MobileNetV2's time.
        """
        p, node = PREFIX, helper.make_node
        nodes = [node("Cast", ["image"], [p + "float"], p + "cast", to=onnx.TensorProto.FLOAT)]
        initializers, source = [], p + "float"
        if self.divisor == "image_maximum":
            initializers.append(constant("one", np.float32(1)))
            axes = [1, 2, 3]
            nodes += [
                node("ReduceMax", [source], [p + "peak"], p + "reduce_max", axes=axes, keepdims=1),
                node("Max", [p + "peak", p + "one"], [p + "divisor"], p + "max"),
                node("Div", [source, p + "divisor"], [p + "divided"], p + "div"),
            ]
            source = p + "divided"
        scale, shift = self._affine()
        for name, op_type, values, nothing in (
            (SCALE, "Mul", scale, 1.0),
            (SHIFT, "Add", shift, 0.0),
        ):
            if (values != nothing).any():
                initializers.append(constant(name, along_row(values, self.width)))
                nodes.append(node(op_type, [source, p + name], [f"{p}{name}_done"], p + name))
                source = f"{p}{name}_done"
        reorders = self.channel_order == "BGR"
        planes = p + "planes" if reorders else outputs[0]
        nodes.append(node("Transpose", [source], [planes], p + "transpose", perm=[0, 3, 1, 2]))
        if reorders:
            # of planes three copies, of pixels one for each value
            initializers.append(constant("order", np.arange(self.channels)[::-1].copy()))
            nodes.append(node("Gather", [planes, p + "order"], outputs, p + "reorder", axis=1))
        return Fragment(tuple(nodes), tuple(initializers))

    def _affine(self) -> tuple[Array, Array]:
        """(C,) factor and summand of each channel, in the image's order: RGB."""
        divisor = 1.0 if self.divisor == "image_maximum" else float(self.divisor)
        mean, std = np.array(self.mean, np.float64), np.array(self.std, np.float64)
        step = -1 if self.channel_order == "BGR" else 1
        scale, shift = (1.0 / (divisor * std))[::step], (-mean / std)[::step]
        return scale.astype(np.float32), shift.astype(np.float32)


def along_row(values: NDArray[Any], width: int) -> Array:
    """(C,) to (W, C) float32: a value per channel as a constant for rows of pixels."""
    return np.broadcast_to(values, (width, len(values))).astype(np.float32)
