"""Quantization of a float graph: ranges once, then as many candidates as wanted.

UINT8 activations and per-channel INT8 weights: on x86 INT8 activations are slower than float.
Static QDQ pairs, or where a setting says so a range of MatMul's input measured at each run.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import QuantizationMode
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from convert.errors import ConvertError
from convert.export.numerics import PREFIX
from convert.quantize.calibrate import Observed, Ranges, observe
from convert.quantize.passes.bias_correction import correct
from convert.quantize.passes.cross_layer_equalization import equalised, pairs
from convert.quantize.passes.embedding_tables import quantize_tables
from convert.quantize.passes.fuse_gelu import fuse_gelus
from convert.quantize.passes.fuse_silu import fuse_gates, gate_nodes, without_closed
from convert.quantize.passes.matmul_nbits import quantize_products
from convert.quantize.passes.pad_channels import of_kept, with_fast_channels
from convert.quantize.passes.weight_only import store_rounded
from convert.quantize.saturation.ranges import no_saturation_ranges
from convert.quantize.search.layer_groups import sizes, tail, units, with_shapes
from runtime.engine.session import Feeds

# how MatMul becomes integer. "whole": as any operator. "inputs": where one factor is a weight, and
# the product stays in float, as what follows in a transformer wants it. "dynamic": as "inputs", the
# range of the other factor measured at each run: over the whole batch, so that rows depend on it.
# "blocks": as "dynamic", over a few values of a row at a time
Products = Literal["whole", "inputs", "dynamic", "blocks"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to quantize a graph."""

    op_types: tuple[str, ...]  # operators that become integer
    float_nodes: frozenset[str] = frozenset()  # nodes that stay in float
    products: Products = "whole"
    ranges: Ranges = "minmax"  # of activations
    corrected: bool = False  # biases, by what rounded weights add on average
    equalised: bool = False  # channels between two layers, so that one range fits them all
    reduce_range: bool = False  # weights of which no pair of products saturates without VNNI
    stored: bool = False  # those of float layers too are in 8 bits, in the file


class Quantizer:
    """Quantizes one float graph in any number of ways from ranges observed once."""

    def __init__(self, model: onnx.ModelProto, feeds: Sequence[Feeds]) -> None:
        """Observe the range of every tensor.

        Args:
            model: float graph, canonical names, numerics under PREFIX.
            feeds: calibration inputs, one sample each.

        Raises:
            ConvertError: no inputs, or onnxruntime refuses the graph.
        """
        if not feeds:
            raise ConvertError("calibration failed: no inputs")
        with_tables = quantize_tables(model)
        self._model = with_shapes(with_fast_channels(with_tables, sizes(with_tables, feeds[0])))
        self._observed = observe(self._model, feeds)
        self._feeds = feeds
        self._equal: tuple[onnx.ModelProto, Observed] | None = None
        self.equalises = bool(pairs(self._model))
        self._float = frozenset(tail(self._model)) | gate_nodes(self._model)
        self.units = tuple(
            replace(unit, nodes=tuple(name for name in unit.nodes if name not in self._float))
            for unit in units(self._model, feeds[0])
        )

    @property
    def product_share(self) -> float:
        """Share of MatMul with weights in the multiplications: most, in a transformer."""
        products = {node.name for node in self._model.graph.node if node.op_type == "MatMul"}
        return sum(unit.work for unit in self.units if unit.nodes[0] in products)

    def quantize(self, setting: Setting) -> onnx.ModelProto:
        """Insert integers; numerics, gates and the output's own activation stay in float."""
        excluded = list(self._excluded(setting))
        quantized = self._static(setting, excluded)
        if setting.products == "blocks":
            quantized = quantize_products(quantized, frozenset(excluded))
        elif setting.products == "dynamic":
            quantized = _dynamic(quantized, excluded, reduce_range=setting.reduce_range)
        # with these shapes onnxruntime fuses sums and norms to an operator that is slower than
        # both: wav2vec2 95 ms instead of 83
        del quantized.graph.value_info[:]
        return fuse_gates(fuse_gelus(quantized))

    def _excluded(self, setting: Setting) -> Iterator[str]:
        weights = {tensor.name for tensor in self._model.graph.initializer}
        for node in self._model.graph.node:
            of_activations = node.op_type == "MatMul" and not weights.intersection(node.input)
            if (
                node.name.startswith(PREFIX)
                or node.name in self._float
                or node.name in setting.float_nodes
                or (of_activations and setting.products != "whole")
            ):
                yield node.name

    def _static(self, setting: Setting, excluded: list[str]) -> onnx.ModelProto:
        model, observed = self._observed_model(setting)
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        left = {"MatMul"} if setting.products in ("dynamic", "blocks") else set()
        answers_in_float = ["MatMul"] if setting.products == "inputs" else []
        quantizer = QDQQuantizer(
            copy,
            per_channel=True,
            reduce_range=False,  # of all weights: what their pairs need is less
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=_ranges(model, observed, setting.ranges),
            nodes_to_quantize=[],
            nodes_to_exclude=excluded,
            op_types_to_quantize=[name for name in setting.op_types if name not in left],
            extra_options={
                "OpTypesToExcludeOutputQuantization": answers_in_float,
                "TensorQuantOverrides": no_saturation_ranges(copy) if setting.reduce_range else {},
            },
        )
        with _quiet():
            quantizer.quantize_model()
        quantized: onnx.ModelProto = quantizer.model.model
        if setting.corrected:
            correct(quantized, model, observed.means)
        if setting.stored:
            read = {n.name: n.input[0] for n in model.graph.node if n.name in setting.float_nodes}
            means = {n: observed.means[x] for n, x in read.items() if x in observed.means}
            store_rounded(quantized, setting.float_nodes, means if setting.corrected else {})
        return quantized

    def _observed_model(self, setting: Setting) -> tuple[onnx.ModelProto, Observed]:
        """The float graph; equalised, it is observed again when first asked for."""
        if not setting.equalised:
            return self._model, self._observed
        if self._equal is None:
            model = equalised(self._model, self._observed.peaks)
            self._equal = model, observe(model, self._feeds)
        return self._equal


def _ranges(model: onnx.ModelProto, observed: Observed, kind: Ranges) -> TensorsData:
    """Made anew for each graph: onnxruntime's quantizer changes them."""
    ranges = of_kept(model, without_closed(model, observed.ranges(kind)))
    typed = {n: (np.float32(low), np.float32(high)) for n, (low, high) in ranges.items()}
    return TensorsData(CalibrationMethod.MinMax, typed)


def all_op_types() -> tuple[str, ...]:
    """Every operator that onnxruntime quantizes with QDQ."""
    return tuple(sorted({*QDQRegistry, *QLinearOpsRegistry}))


def _dynamic(model: onnx.ModelProto, excluded: list[str], *, reduce_range: bool) -> onnx.ModelProto:
    """Integer MatMul of an activation, by its range in each run, and a weight; in place."""
    quantizer = ONNXQuantizer(
        model,
        per_channel=True,
        reduce_range=reduce_range,
        mode=QuantizationMode.IntegerOps,
        static=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=None,
        nodes_to_quantize=[],
        nodes_to_exclude=excluded,
        op_types_to_quantize=["MatMul"],
        extra_options={"MatMulConstBOnly": True},
    )
    with _quiet():
        quantizer.quantize_model()
    return quantizer.model.model


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantizer logs a warning for each tensor that it leaves alone."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.setLevel(level)
