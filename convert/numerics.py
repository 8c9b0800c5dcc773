"""Numerics around a network: from decoded pixels to its input, from its output to an answer.

Each operation is written twice, side by side: `apply` is the plain numpy formula of the reference
(what upstream's own code does), `nodes` is the ONNX form that is packaged. The parity check
compares the two on every conversion. None of these nodes is ever quantized: their names begin with
PREFIX.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from runtime.manifest import TensorSpec

PREFIX = "numerics/"
Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Fragment:
    """Nodes and constants to put before or after a network."""

    nodes: tuple[onnx.NodeProto, ...]
    initializers: tuple[onnx.TensorProto, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageInput:
    """From uint8 pixels to what the network takes: (image / divisor - mean) / std per channel."""

    height: int  # px
    width: int  # px
    channels: int  # 1 or 3
    mean: tuple[float, ...]  # per channel, after the division
    std: tuple[float, ...]
    divisor: Literal["255", "image_maximum"] = "255"  # the latter: of each image, at least 1
    channel_order: Literal["RGB", "BGR"] = "RGB"  # that the network takes; images are RGB
    layout: Literal["NCHW", "NHWC"] = "NCHW"  # that the reference framework takes

    @property
    def tensor(self) -> TensorSpec:
        """The graph input."""
        return TensorSpec("image", "uint8", ("N", self.height, self.width, self.channels))

    def apply(self, image: NDArray[np.uint8]) -> Array:
        """(N, H, W, C) uint8 RGB to the reference network's float32 input, in its own layout."""
        pixels = image.astype(np.float32)
        if self.channel_order == "BGR":
            pixels = pixels[..., ::-1]
        divisor: Array = np.array(255, np.float32)
        if self.divisor == "image_maximum":
            divisor = np.maximum(pixels.max(axis=(1, 2, 3), keepdims=True), np.float32(1))
        scaled = pixels / divisor
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        normalised = (scaled - mean) / std
        if self.layout == "NCHW":
            normalised = normalised.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(normalised, np.float32)

    def nodes(self, output: str) -> Fragment:
        """`image` to the tensor named `output`, (N, C, H, W) float32 whatever the layout.

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
        initializers, source, divisor = [], p + "float", 255.0
        if self.divisor == "image_maximum":
            divisor = 1.0
            initializers.append(_constant(p + "one", np.float32(1)))
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
        weight, bias = self._convolution(divisor)
        initializers += [_constant(p + "weight", weight), _constant(p + "bias", bias)]
        inputs = [source, p + "weight", p + "bias"]
        nodes.append(
            helper.make_node("Conv", inputs, [output], p + "normalize", kernel_shape=[1, 1])
        )
        return Fragment(tuple(nodes), tuple(initializers))

    def _convolution(self, divisor: float) -> tuple[Array, Array]:
        scale = 1.0 / (divisor * np.array(self.std, np.float64))
        bias = -np.array(self.mean, np.float64) / np.array(self.std, np.float64)
        matrix = np.diag(scale)
        if self.channel_order == "BGR":
            matrix = matrix[:, ::-1]
        return matrix.astype(np.float32)[:, :, None, None], bias.astype(np.float32)


class Head(Protocol):
    """From the network's output to the task's outputs."""

    def takes(self, image: ImageInput) -> tuple[int | str, ...]:
        """The network's output shape that it takes; a string is an axis of any size."""
        ...

    def tensors(self, width: int, image: ImageInput) -> tuple[TensorSpec, ...]:
        """The graph outputs; `width` is the last axis of the network's output."""
        ...

    def apply(self, raw: Array) -> Mapping[str, Array]:
        """The reference formula, from the network's output to arrays by output name."""
        ...

    def nodes(self, source: str) -> Fragment:
        """The same as ONNX nodes, from the tensor named `source`."""
        ...


@dataclass(frozen=True, slots=True)
class Probabilities:
    """Class probabilities: softmax, or nothing where the network ends in one."""

    softmax: bool

    def takes(self, image: ImageInput) -> tuple[int | str, ...]:
        """One value per class."""
        del image
        return ("N", "K")

    def tensors(self, width: int, image: ImageInput) -> tuple[TensorSpec, ...]:
        """`probabilities` (N, K)."""
        del image
        return (TensorSpec("probabilities", "float32", ("N", width)),)

    def apply(self, raw: Array) -> Mapping[str, Array]:
        """(N, K) logits or probabilities to (N, K) probabilities."""
        if not self.softmax:
            return {"probabilities": raw}
        exponent = np.exp(raw - raw.max(axis=1, keepdims=True))
        return {"probabilities": exponent / exponent.sum(axis=1, keepdims=True)}

    def nodes(self, source: str) -> Fragment:
        """One node."""
        if self.softmax:
            node = helper.make_node(
                "Softmax", [source], ["probabilities"], PREFIX + "softmax", axis=1
            )
        else:
            node = helper.make_node("Identity", [source], ["probabilities"], PREFIX + "identity")
        return Fragment((node,))


@dataclass(frozen=True, slots=True)
class UnitEmbedding:
    """Features scaled to L2 norm 1; an all-zero vector stays zero."""

    def takes(self, image: ImageInput) -> tuple[int | str, ...]:
        """One vector per image."""
        del image
        return ("N", "D")

    def tensors(self, width: int, image: ImageInput) -> tuple[TensorSpec, ...]:
        """`embedding` (N, D)."""
        del image
        return (TensorSpec("embedding", "float32", ("N", width)),)

    def apply(self, raw: Array) -> Mapping[str, Array]:
        """(N, D) features to (N, D) unit vectors."""
        norm = np.sqrt((raw * raw).sum(axis=1, keepdims=True))
        return {"embedding": raw / np.maximum(norm, np.float32(1e-12))}

    def nodes(self, source: str) -> Fragment:
        """ReduceL2, guarded, and a division."""
        p = PREFIX
        return Fragment(
            (
                helper.make_node(
                    "ReduceL2", [source], [p + "norm"], p + "l2", axes=[1], keepdims=1
                ),
                helper.make_node("Max", [p + "norm", p + "tiny"], [p + "guarded"], p + "guard"),
                helper.make_node("Div", [source, p + "guarded"], ["embedding"], p + "unit"),
            ),
            (_constant(p + "tiny", np.float32(1e-12)),),
        )


@dataclass(frozen=True, slots=True)
class StretchedAlpha:
    """A saliency map stretched to [0, 1] by its own minimum and maximum, as U-2-Net's demo does.

    A constant map has nothing to stretch: it becomes 0 everywhere, and `alpha_range` shows it.
    """

    def takes(self, image: ImageInput) -> tuple[int | str, ...]:
        """One map of the image's size."""
        return ("N", 1, image.height, image.width)

    def tensors(self, width: int, image: ImageInput) -> tuple[TensorSpec, ...]:
        """`alpha` (N, H, W) and `alpha_range` (N, 2), the raw minimum and maximum."""
        del width
        return (
            TensorSpec("alpha", "float32", ("N", image.height, image.width)),
            TensorSpec("alpha_range", "float32", ("N", 2)),
        )

    def apply(self, raw: Array) -> Mapping[str, Array]:
        """(N, 1, H, W) map to (N, H, W) alpha and its (N, 2) range."""
        mask = raw[:, 0]
        low, high = mask.min(axis=(1, 2)), mask.max(axis=(1, 2))
        spread = np.maximum(high - low, np.float32(1e-6))[:, None, None]
        return {
            "alpha": (mask - low[:, None, None]) / spread,
            "alpha_range": np.stack([low, high], axis=1),
        }

    def nodes(self, source: str) -> Fragment:
        """Squeeze, minimum, maximum, a guarded division."""
        p = PREFIX
        node = helper.make_node
        return Fragment(
            (
                node("Squeeze", [source, p + "axis"], [p + "mask"], p + "squeeze"),
                node("ReduceMin", [p + "mask"], [p + "low"], p + "low", axes=[1, 2], keepdims=1),
                node("ReduceMax", [p + "mask"], [p + "high"], p + "high", axes=[1, 2], keepdims=1),
                node("Sub", [p + "high", p + "low"], [p + "spread"], p + "spread"),
                node("Max", [p + "spread", p + "tiny"], [p + "guarded"], p + "guard"),
                node("Sub", [p + "mask", p + "low"], [p + "lifted"], p + "lift"),
                node("Div", [p + "lifted", p + "guarded"], ["alpha"], p + "stretch"),
                node("Concat", [p + "low", p + "high"], [p + "pair"], p + "pair", axis=1),
                node("Squeeze", [p + "pair", p + "last"], ["alpha_range"], p + "range"),
            ),
            (
                _constant(p + "axis", np.array([1], np.int64)),
                _constant(p + "last", np.array([2], np.int64)),
                _constant(p + "tiny", np.float32(1e-6)),
            ),
        )


def attach(
    core: onnx.ModelProto,
    *,
    image: ImageInput,
    head: Head,
    outputs: tuple[TensorSpec, ...],
) -> onnx.ModelProto:
    """Put numerics before and after a network.

    Args:
        core: graph with one float32 input (N, C, H, W) and one output.
        image: what the graph's input becomes.
        head: what makes the graph's outputs.
        outputs: as `head.tensors` gives them.

    Returns:
        Graph from `image` uint8 (N, H, W, C) to the task's outputs.
    """
    graph = core.graph
    before, after = image.nodes(graph.input[0].name), head.nodes(graph.output[0].name)
    whole = helper.make_graph(
        [*before.nodes, *graph.node, *after.nodes],
        "slipway",
        [_value_info(image.tensor)],
        [_value_info(tensor) for tensor in outputs],
        [*before.initializers, *graph.initializer, *after.initializers],
    )
    return helper.make_model(whole, opset_imports=core.opset_import, ir_version=core.ir_version)


def _value_info(tensor: TensorSpec) -> onnx.ValueInfoProto:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
    return helper.make_tensor_value_info(tensor.name, element, list(tensor.shape))


def _constant(name: str, value: NDArray[np.generic] | np.generic) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value), name)
