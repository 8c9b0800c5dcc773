"""ONNX operators in torch, as far as gradients pass through them: one function per operator.

A function receives the node's attributes and its inputs as tensors (None: left out), and returns
its outputs. What an operator can do that is not covered raises `UnknownOperatorError`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor
from torch.nn import functional

from convert.quantize.learn.errors import UnknownOperatorError

Attributes = Mapping[str, Any]
Inputs = Sequence[Any]  # tensors; None: left out
Operator = Callable[[Attributes, Inputs], Tensor | tuple[Tensor, ...]]

TYPES: Mapping[int, torch.dtype] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.UINT8: torch.uint8,
    TensorProto.INT8: torch.int8,
    TensorProto.BOOL: torch.bool,
}
CONVOLUTIONS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
TRANSPOSED = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}
MAX_POOLS = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
AVERAGE_POOLS: Mapping[int, Any] = {
    1: functional.avg_pool1d,
    2: functional.avg_pool2d,
    3: functional.avg_pool3d,
}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _require(condition: bool, text: str) -> None:
    if not condition:
        raise UnknownOperatorError(text)


def _padded(options: Attributes, x: Tensor, value: float) -> Tensor:
    """Pad the spatial axes as `pads` says; torch's layers pad both sides alike only."""
    _require(_text(options.get("auto_pad", "NOTSET")) in ("NOTSET", "VALID"), "auto_pad")
    pads = options.get("pads", [])
    if not any(pads):
        return x
    count = len(pads) // 2
    return functional.pad(
        x,
        [side for axis in reversed(range(count)) for side in (pads[axis], pads[axis + count])],
        value=value,
    )


def _symmetric_pads(options: Attributes) -> list[int] | None:
    """Return the padding of each spatial axis if both of its sides are alike."""
    pads = list(options.get("pads", []))
    half = len(pads) // 2
    return pads[:half] if pads[:half] == pads[half:] else None


def _convolve(options: Attributes, inputs: Inputs) -> Tensor:
    x, weight, *rest = inputs
    rank = x.ndim - 2
    padding = _symmetric_pads(options)
    if padding is None or "auto_pad" in options:
        x, padding = _padded(options, x, 0.0), []
    return CONVOLUTIONS[rank](
        x,
        weight,
        rest[0] if rest else None,
        options.get("strides", [1] * rank),
        padding or [0] * rank,
        options.get("dilations", [1] * rank),
        options.get("group", 1),
    )


def _convolve_transposed(options: Attributes, inputs: Inputs) -> Tensor:
    x, weight, *rest = inputs
    rank = x.ndim - 2
    padding = _symmetric_pads(options)
    known = padding is not None and not {"auto_pad", "output_shape"}.intersection(options)
    _require(known, "ConvTranspose with auto_pad, output_shape or unequal pads")
    return TRANSPOSED[rank](
        x,
        weight,
        rest[0] if rest else None,
        options.get("strides", [1] * rank),
        padding or [0] * rank,
        options.get("output_padding", [0] * rank),
        options.get("group", 1),
        options.get("dilations", [1] * rank),
    )


def _multiply_general(options: Attributes, inputs: Inputs) -> Tensor:
    a, b, *rest = inputs
    a = a.T if options.get("transA", 0) else a
    b = b.T if options.get("transB", 0) else b
    product = options.get("alpha", 1.0) * (a @ b)
    if not rest or rest[0] is None:
        return product
    return product + options.get("beta", 1.0) * rest[0]


def _max_pool(options: Attributes, inputs: Inputs) -> Tensor:
    kernel = options["kernel_shape"]
    rank = len(kernel)
    _require(not options.get("storage_order", 0), "MaxPool with storage_order")
    return MAX_POOLS[rank](
        _padded(options, inputs[0], -math.inf),
        kernel,
        options.get("strides", [1] * rank),
        0,
        options.get("dilations", [1] * rank),
        ceil_mode=bool(options.get("ceil_mode", 0)),
    )


def _average_pool(options: Attributes, inputs: Inputs) -> Tensor:
    kernel = options["kernel_shape"]
    rank = len(kernel)
    padding = _symmetric_pads(options)
    plain = padding is not None and "auto_pad" not in options and not options.get("ceil_mode", 0)
    dilations = set(options.get("dilations", [1])) == {1}
    _require(plain and dilations, "AveragePool with ceil_mode, dilations or unequal pads")
    return AVERAGE_POOLS[rank](
        inputs[0],
        kernel,
        options.get("strides", [1] * rank),
        padding or 0,
        count_include_pad=bool(options.get("count_include_pad", 0)),
    )


def _spatial(x: Tensor) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


def _reduce(
    function: Callable[[Tensor, tuple[int, ...], bool], Tensor],
) -> Operator:
    def reduce(options: Attributes, inputs: Inputs) -> Tensor:
        x = inputs[0]
        given = len(inputs) > 1 and inputs[1] is not None
        axes = inputs[1].tolist() if given else options.get("axes")
        if not axes:
            _require(not options.get("noop_with_empty_axes", 0), "noop_with_empty_axes")
            axes = range(x.ndim)
        return function(x, tuple(axes), bool(options.get("keepdims", 1)))

    return reduce


def _clip(options: Attributes, inputs: Inputs) -> Tensor:
    bounds = [*inputs[1:], None, None][:2]
    low, high = (
        options.get(name) if bound is None else bound.item()
        for name, bound in zip(("min", "max"), bounds, strict=True)
    )
    return inputs[0] if low is None and high is None else torch.clamp(inputs[0], low, high)


def _slope(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, x * slope, x)


def _slice(options: Attributes, inputs: Inputs) -> Tensor:
    x = inputs[0]
    starts, ends = inputs[1].tolist(), inputs[2].tolist()
    axes = inputs[3].tolist() if len(inputs) > 3 and inputs[3] is not None else range(len(starts))
    steps = inputs[4].tolist() if len(inputs) > 4 and inputs[4] is not None else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        _require(step > 0, "Slice backwards")
        index = [slice(None)] * x.ndim
        index[axis] = slice(start, end, step)
        x = x[tuple(index)]
    return x


def _split(options: Attributes, inputs: Inputs) -> tuple[Tensor, ...]:
    x, axis = inputs[0], options.get("axis", 0)
    if len(inputs) > 1 and inputs[1] is not None:
        return torch.split(x, inputs[1].tolist(), axis)
    count = options.get("num_outputs", options.get("outputs"))
    return torch.split(x, -(-x.shape[axis] // count), axis)


def _reshape(options: Attributes, inputs: Inputs) -> Tensor:
    x, shape = inputs[0], inputs[1].tolist()
    if not options.get("allowzero", 0):
        shape = [x.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
    return x.reshape(shape)


def _flatten(options: Attributes, inputs: Inputs) -> Tensor:
    x, axis = inputs[0], options.get("axis", 1)
    return x.reshape(math.prod(x.shape[:axis]), -1)


def _axes(options: Attributes, inputs: Inputs) -> list[int] | None:
    axes = inputs[1].tolist() if len(inputs) > 1 and inputs[1] is not None else options.get("axes")
    return None if axes is None else list(axes)


def _squeeze(options: Attributes, inputs: Inputs) -> Tensor:
    axes = _axes(options, inputs)
    return inputs[0].squeeze() if axes is None else inputs[0].squeeze(tuple(axes))


def _unsqueeze(options: Attributes, inputs: Inputs) -> Tensor:
    x = inputs[0]
    axes = _axes(options, inputs) or []
    for axis in sorted(axis % (x.ndim + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _gather(options: Attributes, inputs: Inputs) -> Tensor:
    x, indices = inputs[0], inputs[1].long()
    axis = options.get("axis", 0) % x.ndim
    indices = torch.where(indices < 0, indices + x.shape[axis], indices)
    picked = torch.index_select(x, axis, indices.reshape(-1))
    return picked.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def _pad(options: Attributes, inputs: Inputs) -> Tensor:
    x, pads = inputs[0], inputs[1].tolist()
    mode = _text(options.get("mode", "constant"))
    _require(mode == "constant" and len(inputs) < 4, f"Pad of mode {mode}")
    value = inputs[2].item() if len(inputs) > 2 and inputs[2] is not None else 0.0
    sides = [side for axis in reversed(range(x.ndim)) for side in (pads[axis], pads[axis + x.ndim])]
    return functional.pad(x, sides, value=value)


def _resize(options: Attributes, inputs: Inputs) -> Tensor:
    x = inputs[0]
    scales = inputs[2].tolist() if len(inputs) > 2 and inputs[2] is not None else []
    sizes = inputs[3].tolist() if len(inputs) > 3 and inputs[3] is not None else []
    scales = scales or [size / old for size, old in zip(sizes, x.shape, strict=True)]
    _require(x.ndim == 4 and scales[:2] == [1, 1], "Resize of other axes than height and width")
    size = sizes[2:] or [math.floor(s * n) for s, n in zip(scales[2:], x.shape[2:], strict=True)]
    mode = _text(options.get("mode", "nearest"))
    pixels = _text(options.get("coordinate_transformation_mode", "half_pixel"))
    rounding = _text(options.get("nearest_mode", "round_prefer_floor"))
    whole = all(n * s == m for n, s, m in zip(x.shape[2:], scales[2:], size, strict=True))
    if mode == "nearest" and pixels == "asymmetric" and rounding == "floor":
        return functional.interpolate(x, size=size, mode="nearest")
    linear = mode == "linear" and whole and not options.get("antialias", 0)
    _require(linear, f"Resize, {mode}, {pixels}, {rounding}")
    if pixels == "align_corners":
        return functional.interpolate(x, size=size, mode="bilinear", align_corners=True)
    longer = all(m > 1 for m in size) or pixels == "half_pixel"
    _require(pixels in ("half_pixel", "pytorch_half_pixel") and longer, f"Resize, {pixels}")
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


def _normalize_layer(options: Attributes, inputs: Inputs) -> Tensor:
    x, scale, *rest = inputs
    axis = options.get("axis", -1) % x.ndim
    bias = rest[0] if rest else None
    return functional.layer_norm(x, x.shape[axis:], scale, bias, options.get("epsilon", 1e-5))


def _normalize_batch(options: Attributes, inputs: Inputs) -> Tensor:
    x, scale, bias, mean, variance = inputs
    _require(not options.get("training_mode", 0), "BatchNormalization in training")
    return functional.batch_norm(
        x, mean, variance, scale, bias, False, 0.0, options.get("epsilon", 1e-5)
    )


def _cast(options: Attributes, inputs: Inputs) -> Tensor:
    _require(options["to"] in TYPES, "Cast to a type of other kinds")
    return inputs[0].to(TYPES[options["to"]])


def _constant(options: Attributes, inputs: Inputs) -> Tensor:
    del inputs
    _require("value" in options, "Constant without a tensor")
    return torch.from_numpy(numpy_helper.to_array(options["value"]).copy())


def _divide(a: Tensor, b: Tensor) -> Tensor:
    if a.is_floating_point():
        return a / b
    return torch.div(a, b, rounding_mode="trunc")


def _fold(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    def fold(options: Attributes, inputs: Inputs) -> Tensor:
        del options
        result = inputs[0]
        for other in inputs[1:]:
            result = function(result, other)
        return result

    return fold


def _of_one(function: Callable[[Tensor], Tensor]) -> Operator:
    return lambda options, inputs: function(inputs[0])


def _of_two(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    return lambda options, inputs: function(inputs[0], inputs[1])


OPERATORS: Mapping[str, Operator] = {
    "Abs": _of_one(torch.abs),
    "Add": _of_two(torch.add),
    "AveragePool": _average_pool,
    "BatchNormalization": _normalize_batch,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": lambda options, inputs: torch.cat(list(inputs), options["axis"]),
    "Constant": _constant,
    "Conv": _convolve,
    "ConvTranspose": _convolve_transposed,
    "Div": _of_two(_divide),
    "Elu": lambda options, inputs: functional.elu(inputs[0], options.get("alpha", 1.0)),
    "Erf": _of_one(torch.erf),
    "Exp": _of_one(torch.exp),
    "Expand": lambda options, inputs: inputs[0] * torch.ones(inputs[1].tolist()),
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _multiply_general,
    "GlobalAveragePool": _of_one(lambda x: x.mean(_spatial(x), keepdim=True)),
    "GlobalMaxPool": _of_one(lambda x: x.amax(_spatial(x), keepdim=True)),
    "HardSigmoid": lambda options, inputs: torch.clamp(
        options.get("alpha", 0.2) * inputs[0] + options.get("beta", 0.5), 0, 1
    ),
    "HardSwish": _of_one(functional.hardswish),
    "Identity": _of_one(lambda x: x),
    "LayerNormalization": _normalize_layer,
    "LeakyRelu": lambda options, inputs: functional.leaky_relu(
        inputs[0], options.get("alpha", 0.01)
    ),
    "Log": _of_one(torch.log),
    "MatMul": _of_two(torch.matmul),
    "Max": _fold(torch.maximum),
    "MaxPool": _max_pool,
    "Min": _fold(torch.minimum),
    "Mul": _of_two(torch.mul),
    "Neg": _of_one(torch.neg),
    "PRelu": _of_two(_slope),
    "Pad": _pad,
    "Pow": _of_two(torch.pow),
    "Reciprocal": _of_one(torch.reciprocal),
    "ReduceL2": _reduce(lambda x, axes, keep: torch.linalg.vector_norm(x, 2, axes, keep)),
    "ReduceMax": _reduce(lambda x, axes, keep: torch.amax(x, axes, keep)),
    "ReduceMean": _reduce(lambda x, axes, keep: torch.mean(x, axes, keep)),
    "ReduceMin": _reduce(lambda x, axes, keep: torch.amin(x, axes, keep)),
    "ReduceSum": _reduce(lambda x, axes, keep: torch.sum(x, axes, keep)),
    "Relu": _of_one(functional.relu),
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": _of_one(lambda x: torch.tensor(x.shape)),
    "Sigmoid": _of_one(torch.sigmoid),
    "Slice": _slice,
    "Softmax": lambda options, inputs: functional.softmax(inputs[0], options.get("axis", -1)),
    "Softplus": _of_one(functional.softplus),
    "Split": _split,
    "Sqrt": _of_one(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _of_two(torch.sub),
    "Sum": _fold(torch.add),
    "Tanh": _of_one(torch.tanh),
    "Transpose": lambda options, inputs: (
        inputs[0].permute(options.get("perm", list(reversed(range(inputs[0].ndim))))).contiguous()
    ),
    "Unsqueeze": _unsqueeze,
    "Where": lambda options, inputs: torch.where(inputs[0].bool(), inputs[1], inputs[2]),
}
