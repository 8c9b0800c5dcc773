"""Calibration: the values that the tensors of a float graph take on the calibration samples.

Each run reduces every tensor inside the graph, so no tensor outlives its use and memory stays that
of one run. Minimum, maximum and channel statistics cover all values; histograms sample them.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from convert.errors import ConvertError
from convert.export.graph.surgery import initializers
from convert.quantize.histogram import Histogram, add_values, entropy_range, percentile_range
from convert.quantize.shapes import tensor_sizes
from runtime.engine.session import Feeds, OnnxruntimeError
from runtime.errors import one_line

Array = NDArray[Any]
RangeMethod = Literal["minmax", "percentile", "entropy"]
SAMPLED_VALUES = 8192  # approximate number of values of a tensor and sample in its histogram
# they read a fixed number of channels, on this axis
CHANNEL_AXES: Mapping[str, int] = {"Conv": 1, "Gemm": 1, "MatMul": -1}
IMAGE_RANK = 4  # (N, C, H, W)
# names in the graph that computes the statistics
FLAT, START, END = "calibrate/flat", "calibrate/start", "calibrate/end"


@dataclass(frozen=True, slots=True)
class CalibrationStats:
    """Statistics of every float tensor over all samples, by tensor name."""

    min_max: Mapping[str, tuple[float, float]]
    histograms: Mapping[str, Histogram]
    # (C,) over samples and all other axes, for inputs of the layers in CHANNEL_AXES
    channel_means: Mapping[str, Array]
    channel_abs_max: Mapping[str, Array]

    def ranges(self, method: RangeMethod) -> dict[str, tuple[float, float]]:
        """Return the range to quantize each tensor in; never wider than its minimum and maximum."""
        if method == "minmax":
            return dict(self.min_max)
        return {
            name: _intersection(self._narrow_range(method, name), min_max)
            for name, min_max in self.min_max.items()
        }

    def _narrow_range(self, method: RangeMethod, name: str) -> tuple[float, float]:
        if method == "percentile":
            return percentile_range(self.histograms[name])
        return entropy_range(self.histograms[name], self.min_max[name])


def calibrate(model: onnx.ModelProto, feeds: Sequence[Feeds]) -> CalibrationStats:
    """Run a graph on all samples and collect statistics of every float tensor.

    Args:
        model: with the shapes of its tensors; opset of `convert.export.graph.opset.OPSET`.
        feeds: one sample each.

    Raises:
        ConvertError: there are no samples, or onnxruntime refuses the graph.
    """
    if not feeds:
        raise ConvertError("calibration failed: no inputs")
    tensors = dict(_float_tensors(model))
    min_max: dict[str, tuple[float, float]] = {}
    histograms: dict[str, Histogram] = {}
    sums: dict[str, Array] = {}
    abs_max: dict[str, Array] = {}
    for outputs in _run(_with_statistics(model, tensors, tensor_sizes(model, feeds[0])), feeds):
        for name, channels in tensors.items():
            low, high = (float(outputs[f"{name} {statistic}"]) for statistic in ("min", "max"))
            before = min_max.get(name, (low, high))
            min_max[name] = (min(low, before[0]), max(high, before[1]))
            histograms[name] = add_values(outputs[f"{name} values"], histograms.get(name))
            if channels is not None:
                mean = _channel_rows(outputs[f"{name} mean"])
                largest = _channel_rows(outputs[f"{name} abs_max"])
                sums[name] = sums.get(name, 0) + mean.mean(axis=0, dtype=np.float64)
                abs_max[name] = np.maximum(abs_max.get(name, 0), largest.max(axis=0))
    means = {name: total / len(feeds) for name, total in sums.items()}
    return CalibrationStats(min_max, histograms, means, abs_max)


def _channel_rows(channels: Array) -> Array:
    """Reshape a sample's channels to (rows, C): a row for each of its maps, as of a clip's frames.

    Other ranks than (N, C, 1, 1) were reduced over the samples' axis too: they are one row.
    """
    return channels.reshape(len(channels), -1) if channels.ndim == IMAGE_RANK else channels[None]


def _intersection(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    return max(a[0], b[0]), min(a[1], b[1])


@dataclass(frozen=True, slots=True)
class _Channels:
    """The axes of a tensor whose channels have statistics."""

    rank: int
    axis: int  # of the channels, >= 0


def _float_tensors(model: onnx.ModelProto) -> Iterator[tuple[str, _Channels | None]]:
    """Yield every float tensor: its name, and its axes if its channels have statistics."""
    constants = initializers(model)
    layers = [
        node
        for node in model.graph.node
        if node.op_type in CHANNEL_AXES and node.input[1] in constants
    ]
    # axis 1 counts for a tensor that layers of both kinds read: biases of Conv need its means
    layers.sort(key=lambda node: CHANNEL_AXES[node.op_type])
    axes = {node.input[0]: CHANNEL_AXES[node.op_type] for node in layers}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        tensor = value.type.tensor_type
        if tensor.elem_type == TensorProto.FLOAT and value.name not in constants:
            rank = len(tensor.shape.dim)
            is_read = value.name in axes and rank > 1
            yield value.name, _Channels(rank, axes[value.name] % rank) if is_read else None


def _with_statistics(
    model: onnx.ModelProto, tensors: Mapping[str, _Channels | None], sizes: Mapping[str, int]
) -> onnx.ModelProto:
    """Replace the outputs of a graph by the statistics of its tensors.

    Args:
        model: the float graph.
        tensors: as `_float_tensors` yields them.
        sizes: number of values of each tensor.
    """
    copy = deepcopy(model)
    graph = copy.graph
    del graph.output[:]
    constants = {FLAT: [-1], START: [0], END: [np.iinfo(np.int64).max]}
    for name, channels in tensors.items():
        step = max(sizes.get(name, 1) // SAMPLED_VALUES, 1) | 1  # odd: widths are mostly even
        constants[f"calibrate/{step}"] = [step]
        graph.node.extend(_value_statistics(name, f"calibrate/{step}"))
        statistics = ["min", "max", "values"]
        if channels is not None:
            graph.node.extend(_channel_statistics(name, channels))
            statistics += ["mean", "abs_max"]
        graph.output.extend(
            helper.make_tensor_value_info(f"{name} {statistic}", TensorProto.FLOAT, None)
            for statistic in statistics
        )
    graph.initializer.extend(
        numpy_helper.from_array(np.array(values, np.int64), name)
        for name, values in constants.items()
    )
    return copy


def _value_statistics(name: str, step: str) -> Iterator[onnx.NodeProto]:
    make = helper.make_node
    yield make("ReduceMin", [name], [f"{name} min"], keepdims=0)
    yield make("ReduceMax", [name], [f"{name} max"], keepdims=0)
    yield make("Reshape", [name, FLAT], [f"{name} flat"])
    yield make("Slice", [f"{name} flat", START, END, START, step], [f"{name} values"])


def _channel_statistics(name: str, channels: _Channels) -> Iterator[onnx.NodeProto]:
    """Yield the nodes that compute mean and largest absolute value of each channel.

    For images they pool, which is several times faster than reducing.

    Args:
        name: of the tensor.
        channels: its axes.
    """
    make = helper.make_node
    is_image = channels.rank == IMAGE_RANK and channels.axis == 1
    mean, largest = (
        ("GlobalAveragePool", "GlobalMaxPool") if is_image else ("ReduceMean", "ReduceMax")
    )
    others = [axis for axis in range(channels.rank) if axis != channels.axis]
    options: dict[str, Any] = {} if is_image else {"axes": others, "keepdims": 0}
    yield make(mean, [name], [f"{name} mean"], **options)
    yield make("Abs", [name], [f"{name} abs"])
    yield make(largest, [f"{name} abs"], [f"{name} abs_max"], **options)


def _run(model: onnx.ModelProto, feeds: Iterable[Feeds]) -> Iterator[Mapping[str, Array]]:
    options = ort.SessionOptions()
    # fusing would hide tensors, and an arena would keep the largest sample's memory
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    names = [value.name for value in model.graph.output]
    with tempfile.TemporaryDirectory(prefix="slipway-") as directory:
        path = Path(directory, "statistics.onnx")
        onnx.save(model, path)
        try:
            session = ort.InferenceSession(str(path), options, ["CPUExecutionProvider"])
            for feed in feeds:
                yield dict(zip(names, session.run(names, dict(feed)), strict=True))
        except OnnxruntimeError as error:
            raise ConvertError(f"calibration failed: {one_line(error)}") from error
