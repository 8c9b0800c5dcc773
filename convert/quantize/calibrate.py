"""What a float graph's tensors hold on the calibration inputs: one pass, in little memory.

All is reduced within the graph, so that no tensor outlives its use: extremes and channel means of
all values, histograms of every so many-th one.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from convert.quantize import histogram
from convert.quantize.histogram import Histogram
from convert.quantize.search.layer_groups import sizes
from runtime.engine.session import Feeds

Array = NDArray[Any]
Ranges = Literal["minmax", "percentile", "entropy"]
SAMPLED = 8192  # values of a tensor and sample that enter its histogram; about
FLAT = "observed/flat"  # shape that makes one axis of any tensor
CHANNELS = ("Conv", "Gemm")  # read channels on axis 1, as many in every sample
MAP = 4  # rank of (N, C, H, W)
POOLS = ("GlobalAveragePool", "GlobalMaxPool")


@dataclass(frozen=True, slots=True)
class Observed:
    """Of each float tensor, by name."""

    extremes: Mapping[str, tuple[float, float]]
    histograms: Mapping[str, Histogram]
    # (C,) over samples and all axes but 1, of what layers with CHANNELS read
    means: Mapping[str, Array]
    peaks: Mapping[str, Array]  # the same, of absolute values

    def ranges(self, kind: Ranges) -> dict[str, tuple[float, float]]:
        """Minimum and maximum to quantize each tensor by; never wider than its extremes."""
        if kind == "minmax":
            return dict(self.extremes)
        return {
            name: _within(self._narrowed(kind, name), extremes)
            for name, extremes in self.extremes.items()
        }

    def _narrowed(self, kind: Ranges, name: str) -> tuple[float, float]:
        if kind == "percentile":
            return histogram.percentile(self.histograms[name])
        return histogram.entropy(self.histograms[name], self.extremes[name])


def observe(model: onnx.ModelProto, feeds: Sequence[Feeds]) -> Observed:
    """Run a graph on all samples and note every float tensor.

    Args:
        model: with the shapes of its tensors; opset of `convert.export.graph.opset.OPSET`.
        feeds: one sample each.

    Raises:
        ConvertError: no samples, or onnxruntime refuses the graph.
    """
    if not feeds:
        raise ConvertError("calibration failed: no inputs")
    tensors = dict(_float_tensors(model))
    extremes: dict[str, tuple[float, float]] = {}
    histograms: dict[str, Histogram] = {}
    sums: dict[str, Array] = {}
    peaks: dict[str, Array] = {}
    for answers in _answers(_reduced(model, tensors, sizes(model, feeds[0])), feeds):
        for name, by_channel in tensors.items():
            low, high = (float(answers[f"{name} {end}"]) for end in ("min", "max"))
            before = extremes.get(name, (low, high))
            extremes[name] = (min(low, before[0]), max(high, before[1]))
            histograms[name] = histogram.count(answers[f"{name} some"], histograms.get(name))
            if by_channel:
                mean, peak = (_by_row(answers[f"{name} {each}"]) for each in ("mean", "peak"))
                sums[name] = sums.get(name, 0) + mean.mean(axis=0, dtype=np.float64)
                peaks[name] = np.maximum(peaks.get(name, 0), peak.max(axis=0))
    means = {name: total / len(feeds) for name, total in sums.items()}
    return Observed(extremes, histograms, means, peaks)


def _by_row(channels: Array) -> Array:
    """(rows, C): one row, but of a sample that is several maps, as the frames of a clip are."""
    return channels.reshape(len(channels), -1) if channels.ndim == MAP else channels[np.newaxis]


def _within(narrowed: tuple[float, float], extremes: tuple[float, float]) -> tuple[float, float]:
    return max(narrowed[0], extremes[0]), min(narrowed[1], extremes[1])


def _float_tensors(model: onnx.ModelProto) -> Iterator[tuple[str, int]]:
    """Names, and the rank where it is to be observed by channel, else 0."""
    constants = initializers(model)
    of_layers = {
        node.input[0]
        for node in model.graph.node
        if node.op_type in CHANNELS and node.input[1] in constants
    }
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        kind = value.type.tensor_type
        if kind.elem_type == TensorProto.FLOAT and value.name not in constants:
            yield value.name, len(kind.shape.dim) if value.name in of_layers else 0


def _reduced(
    model: onnx.ModelProto, tensors: Mapping[str, int], counts: Mapping[str, int]
) -> onnx.ModelProto:
    """The graph with these outputs in place of its own."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    del graph.output[:]
    constants = {FLAT: [-1], "observed/0": [0], "observed/end": [np.iinfo(np.int64).max]}
    for name, rank in tensors.items():
        step = max(counts.get(name, 1) // SAMPLED, 1) | 1  # odd: strides of maps are mostly even
        constants[f"observed/{step}"] = [step]
        graph.node.extend(_reductions(name, f"observed/{step}"))
        ends = ["min", "max", "some"]
        if rank:
            graph.node.extend(_of_channels(name, rank))
            ends += ["mean", "peak"]
        graph.output.extend(
            helper.make_tensor_value_info(f"{name} {end}", TensorProto.FLOAT, None) for end in ends
        )
    graph.initializer.extend(
        numpy_helper.from_array(np.array(values, np.int64), name)
        for name, values in constants.items()
    )
    return copy


def _reductions(name: str, step: str) -> Iterator[onnx.NodeProto]:
    make = helper.make_node
    yield make("ReduceMin", [name], [f"{name} min"], keepdims=0)
    yield make("ReduceMax", [name], [f"{name} max"], keepdims=0)
    yield make("Reshape", [name, FLAT], [f"{name} flat"])
    inputs = [f"{name} flat", "observed/0", "observed/end", "observed/0", step]
    yield make("Slice", inputs, [f"{name} some"])


def _of_channels(name: str, rank: int) -> Iterator[onnx.NodeProto]:
    """Mean and peak of each channel; pooling maps is several times faster than reducing them."""
    make = helper.make_node
    axes: dict[str, Any] = (
        {} if rank == MAP else {"axes": [a for a in range(rank) if a != 1], "keepdims": 0}
    )
    mean, peak = POOLS if rank == MAP else ("ReduceMean", "ReduceMax")
    yield make(mean, [name], [f"{name} mean"], **axes)
    yield make("Abs", [name], [f"{name} size"])
    yield make(peak, [f"{name} size"], [f"{name} peak"], **axes)


def _answers(model: onnx.ModelProto, feeds: Iterable[Feeds]) -> Iterator[Mapping[str, Array]]:
    options = ort.SessionOptions()
    # fusing would hide tensors, and an arena would keep the largest sample's for ever
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    names = [value.name for value in model.graph.output]
    with tempfile.TemporaryDirectory(prefix="slipway-") as directory:
        path = Path(directory, "observed.onnx")
        onnx.save(model, path)
        try:
            session = ort.InferenceSession(str(path), options, ["CPUExecutionProvider"])
            for feed in feeds:
                yield dict(zip(names, session.run(names, dict(feed)), strict=True))
        except Exception as error:  # onnxruntime's exceptions share no base class of their own
            raise ConvertError(f"calibration failed: {error}") from error
