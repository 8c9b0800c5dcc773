"""Image to an image network's input."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.errors import RecipeError
from convert.export.numerics.fragment import PREFIX, Array, Fragment, constant, node
from runtime.artifact.manifest import TensorSpec

SCALE, SHIFT = "scale", "shift"  # names of the two nodes and their constants, without PREFIX


@dataclass(frozen=True, slots=True)
class ImageInput:
    """Pixels normalized per channel.

    (image / divisor - mean) / std, in the channel order and layout that the network takes.
    """

    height: int  # px
    width: int  # px
    channels: int  # 1 or 3
    mean: tuple[float, ...]  # per channel in the network's order, after the division
    std: tuple[float, ...]
    # "image_maximum": the image's own largest level, at least 1; "1": levels of 0 to 255
    divisor: Literal["255", "1", "image_maximum"] = "255"
    channel_order: Literal["RGB", "BGR"] = "RGB"  # of the network; decoded images are RGB
    layout: Literal["NCHW", "NHWC"] = "NCHW"  # of the reference framework; the graph's is NCHW

    def __post_init__(self) -> None:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if not isinstance(values, tuple | list):
                raise RecipeError(
                    f"{name} is {values!r}; needed: a value per channel, as in (0.5,)"
                )
            if len(values) != self.channels:
                raise ValueError(f"{name} has {len(values)} values for {self.channels} channels")

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Return `image`, uint8 (N, H, W, C)."""
        shape = ("N", self.height, self.width, self.channels)
        return (TensorSpec("image", "uint8", shape),)

    def apply(self, *inputs: NDArray[Any]) -> tuple[Array, ...]:
        """Normalize (N, H, W, C) uint8 RGB to float32 in the reference framework's layout."""
        (image,) = inputs
        pixels = image.astype(np.float32)
        if self.channel_order == "BGR":
            pixels = pixels[..., ::-1]
        if self.divisor == "image_maximum":
            divisor: Array = np.maximum(pixels.max(axis=(1, 2, 3), keepdims=True), np.float32(1))
        else:
            divisor = np.array(float(self.divisor), np.float32)
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        normalized = (pixels / divisor - mean) / std
        if self.layout == "NCHW":
            normalized = normalized.transpose(0, 3, 1, 2)
        return (np.ascontiguousarray(normalized, np.float32),)

    def nodes(self, *targets: str) -> Fragment:
        """Return the formula as scale and shift, then the transposition to (N, C, H, W) float32.

        Both passes work on pixels as they lie, (H, W, C), with constants that fill a row of the
        image: constants of three values, broadcast, take several times as long. As a 1 x 1
        convolution, which onnxruntime pads to 16 channels, they took a fifth of MobileNetV2's time.
        """
        p = PREFIX
        nodes = [node("Cast", ["image"], [p + "float"], "cast", to=onnx.TensorProto.FLOAT)]
        initializers, source = [], p + "float"
        if self.divisor == "image_maximum":
            initializers.append(constant("one", np.float32(1)))
            over_image = {"axes": [1, 2, 3], "keepdims": 1}
            nodes += [
                node("ReduceMax", [source], [p + "peak"], "reduce_max", **over_image),
                node("Max", [p + "peak", p + "one"], [p + "divisor"], "max"),
                node("Div", [source, p + "divisor"], [p + "divided"], "div"),
            ]
            source = p + "divided"
        scale, shift = self._scale_and_shift()
        for name, op_type, values, neutral in (
            (SCALE, "Mul", scale, 1.0),
            (SHIFT, "Add", shift, 0.0),
        ):
            if (values != neutral).any():
                initializers.append(constant(name, along_row(values, self.width)))
                nodes.append(node(op_type, [source, p + name], [f"{p}{name}_done"], name))
                source = f"{p}{name}_done"
        is_bgr = self.channel_order == "BGR"
        planes = p + "planes" if is_bgr else targets[0]
        nodes.append(node("Transpose", [source], [planes], "transpose", perm=[0, 3, 1, 2]))
        if is_bgr:
            # after the transposition: reordering planes is three copies, pixels one for each value
            initializers.append(constant("order", np.arange(self.channels)[::-1].copy()))
            nodes.append(node("Gather", [planes, p + "order"], targets, "reorder", axis=1))
        return Fragment(tuple(nodes), tuple(initializers))

    def _scale_and_shift(self) -> tuple[Array, Array]:
        """Return factor and summand of each channel, (C,), in the image's order: RGB."""
        divisor = 1.0 if self.divisor == "image_maximum" else float(self.divisor)
        mean, std = np.array(self.mean, np.float64), np.array(self.std, np.float64)
        step = -1 if self.channel_order == "BGR" else 1
        scale, shift = (1.0 / (divisor * std))[::step], (-mean / std)[::step]
        return scale.astype(np.float32), shift.astype(np.float32)


def along_row(values: NDArray[Any], width: int) -> Array:
    """Repeat the values of C channels along a row of pixels: (C,) to (W, C) float32."""
    return np.broadcast_to(values, (width, len(values))).astype(np.float32)
