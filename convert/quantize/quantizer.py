"""Quantization of a float graph: calibrated once, then quantized in any number of ways.

Activations are UINT8 and weights INT8 with a scale per output channel: on x86 INT8 activations are
slower than float. Ranges of activations are constants in QuantizeLinear/DequantizeLinear (QDQ)
pairs, except for MatMul in the modes "dynamic", "nbits" and "mixed".
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
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
from convert.quantize.calibrate import CalibrationStats, RangeMethod, calibrate
from convert.quantize.learn.layerwise import round_layers
from convert.quantize.learn.learned import Learned, round_as_learned
from convert.quantize.passes.bias_correction import correct_biases
from convert.quantize.passes.cross_layer_equalization import equalize_layers, layer_pairs
from convert.quantize.passes.embedding_tables import quantize_embedding_tables
from convert.quantize.passes.fold_pixels import fold_pixels, pixel_ranges
from convert.quantize.passes.fuse_gelu import fuse_gelu
from convert.quantize.passes.fuse_group_norm import fuse_group_norm
from convert.quantize.passes.fuse_silu import clip_silu_ranges, fuse_silu, silu_nodes
from convert.quantize.passes.matmul_nbits import narrowing_products, pack_matmul_nbits
from convert.quantize.passes.pad_channels import pad_channels, unpadded_ranges
from convert.quantize.passes.pad_depthwise import pad_depthwise
from convert.quantize.passes.repeat_pixels import repeat_pixels
from convert.quantize.passes.shared_ranges import joined_ranges, moved_ranges
from convert.quantize.passes.smooth_products import smooth_products
from convert.quantize.passes.sum_of_products import sum_of_products
from convert.quantize.passes.weight_only import store_weights_int8
from convert.quantize.saturation.ranges import no_saturation_ranges
from convert.quantize.search.layer_groups import (
    layer_groups,
    nodes_after_last_layer,
    small_head,
    small_tail,
)
from convert.quantize.shapes import infer_shapes, tensor_shapes, tensor_sizes
from runtime.engine.session import Feeds

# How MatMul becomes integer:
# "static": as any other operator, with constant ranges of both factors and of the product.
# "static_weight": only where one factor is a weight; the product stays in float, because what
#     follows it in a transformer computes in float.
# "dynamic": as "static_weight", but each run measures the range of the activation, over the whole
#     batch: a row's answer depends on the other rows.
# "nbits": as "dynamic", with a range for every few values of a row (MatMulNBits).
# "mixed": products with more inputs than outputs as "nbits", all others as "static_weight".
MatmulMode = Literal["static", "static_weight", "dynamic", "nbits", "mixed"]


@dataclass(frozen=True, slots=True)
class QuantizationConfig:
    """One way to quantize a graph."""

    op_types: tuple[str, ...]  # operators that become integer
    float_nodes: frozenset[str] = frozenset()  # names of nodes that stay in float
    matmul_mode: MatmulMode = "static"
    ranges: RangeMethod = "minmax"  # of activations
    bias_correction: bool = False
    cross_layer_equalization: bool = False
    shared_ranges: bool = False  # of all that a Concat joins
    smoothing: bool = False  # of channels that MatMul reads; no effect in the mode "nbits"
    reduce_range: bool = False  # weights whose products never saturate without VNNI
    weight_only_int8: bool = False  # the file stores the weights of `float_nodes` in 8 bits
    learned: bool = False  # layers as `Quantizer.learn` learned them


class Quantizer:
    """Quantizes one float graph in any number of ways; calibration runs once.

    Attributes:
        layer_groups: the groups of nodes that may be integer, in graph order.
        has_layer_pairs: True if cross-layer equalization can change the graph.
        has_joins: True if a Concat may be integer, so that its inputs can share a range.
        small_tail: the last nodes, if they are little work: in float they cost no time.
        small_head: the first layers, if they are little work: in a transformer they stay in float.
        learned: what `learn` learned; without layers before.
    """

    def __init__(self, model: onnx.ModelProto, feeds: Sequence[Feeds]) -> None:
        """Store tables as INT8, fuse norms, pad channels, and calibrate the graph on the samples.

        Args:
            model: float graph with canonical names; is not changed. Names of numerics begin with
                PREFIX.
            feeds: calibration inputs, one sample each.

        Raises:
            ConvertError: there are no inputs, or onnxruntime refuses the graph.
        """
        if not feeds:
            raise ConvertError("calibration failed: no inputs")
        with_int8_tables = quantize_embedding_tables(fuse_group_norm(model))
        sizes = tensor_sizes(with_int8_tables, feeds[0])
        padded = pad_channels(pad_depthwise(with_int8_tables, sizes), sizes)
        self._model = infer_shapes(padded)
        self._shapes = tensor_shapes(self._model)
        self._stats = calibrate(self._model, feeds)
        self._feeds = feeds
        self._changed: dict[tuple[bool, bool], tuple[onnx.ModelProto, CalibrationStats]] = {}
        self.learned = Learned({})
        self.has_layer_pairs = bool(layer_pairs(self._model))
        self._float_nodes = frozenset(nodes_after_last_layer(self._model)) | silu_nodes(self._model)
        self.layer_groups = tuple(
            replace(group, nodes=tuple(n for n in group.nodes if n not in self._float_nodes))
            for group in layer_groups(self._model, feeds[0])
        )
        integer = {name for group in self.layer_groups for name in group.nodes}
        self.has_joins = any(
            node.op_type == "Concat" and node.name in integer for node in self._model.graph.node
        )
        self.small_tail = small_tail(self.layer_groups, self._model, feeds[0])
        self.small_head = small_head(self.layer_groups)

    @property
    def matmul_share(self) -> float:
        """Return the share of the multiplications that MatMul with weights does, in [0, 1]."""
        products = {node.name for node in self._model.graph.node if node.op_type == "MatMul"}
        return sum(group.work for group in self.layer_groups if group.nodes[0] in products)

    def quantize(self, config: QuantizationConfig) -> onnx.ModelProto:
        """Return a new, quantized graph.

        Numerics, SiLU activations and the operators after the last layer stay in float in every
        configuration; so does MatMul of two activations unless the mode is "static".
        """
        excluded = list(self._nodes_in_float(config))
        quantized = self._quantize_static(config, excluded)
        if config.matmul_mode in ("nbits", "mixed"):
            quantized = pack_matmul_nbits(quantized, frozenset(excluded))
        elif config.matmul_mode == "dynamic":
            quantized = _quantize_dynamic(quantized, excluded, reduce_range=config.reduce_range)
        # with these shapes onnxruntime fuses sums and norms to an operator that is slower than
        # both: wav2vec2 95 ms instead of 83
        del quantized.graph.value_info[:]
        quantized = repeat_pixels(sum_of_products(quantized, self._shapes), self._shapes)
        return fold_pixels(fuse_silu(fuse_gelu(quantized)))

    def learn(self, config: QuantizationConfig, observe: Callable[[str], None]) -> None:
        """Learn weights and biases from the float graph on the calibration samples.

        What was learned is for all configurations of the same changes to the float graph.

        Args:
            config: of the graph whose layers learn.
            observe: receives the state, in words.

        Raises:
            LearningError: nothing can be learned from the graph.
        """
        model, _ = self._calibrated(config)
        quantized = self._quantize_static(config, list(self._nodes_in_float(config)))
        self.learned = round_layers(quantized, model, self._feeds, observe)

    def _nodes_in_float(self, config: QuantizationConfig) -> Iterator[str]:
        """Yield the names of the nodes that stay in float."""
        head = self.small_head
        constants = {tensor.name for tensor in self._model.graph.initializer}
        for node in self._model.graph.node:
            of_activations = node.op_type == "MatMul" and not constants.intersection(node.input)
            if (
                node.name.startswith(PREFIX)
                or node.name in self._float_nodes
                or node.name in config.float_nodes
                or (config.matmul_mode != "static" and (of_activations or node.name in head))
            ):
                yield node.name

    def _quantize_static(self, config: QuantizationConfig, excluded: list[str]) -> onnx.ModelProto:
        """Return a copy of the graph with QDQ pairs, corrected biases and INT8 float layers.

        Each is done if the configuration says so. What the modes "dynamic", "nbits" and "mixed"
        quantize afterwards is left.
        """
        model, stats = self._calibrated(config)
        copy = deepcopy(model)
        later = {"MatMul"} if config.matmul_mode in ("dynamic", "nbits") else set()
        float_outputs = ["MatMul"] if config.matmul_mode in ("static_weight", "mixed") else []
        learned = self.learned if config.learned else Learned({})
        weights = {name: layer.weight for name, layer in learned.layers.items()}
        by_blocks = narrowing_products(model) if config.matmul_mode == "mixed" else frozenset()
        quantizer = QDQQuantizer(
            copy,
            per_channel=True,
            reduce_range=False,  # it would halve all weights, more than their pairs need
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=_tensor_ranges(model, stats, config),
            nodes_to_quantize=[],
            nodes_to_exclude=[*excluded, *by_blocks],
            op_types_to_quantize=[name for name in config.op_types if name not in later],
            extra_options={
                "OpTypesToExcludeOutputQuantization": float_outputs,
                "TensorQuantOverrides": (
                    no_saturation_ranges(copy, weights) if config.reduce_range else {}
                ),
            },
        )
        with _without_warnings():
            quantizer.quantize_model()
        quantized: onnx.ModelProto = quantizer.model.model
        if config.bias_correction:
            correct_biases(quantized, model, stats.channel_means)
        round_as_learned(quantized, model, learned.layers, stats.channel_means)
        if config.weight_only_int8:
            means = {
                node.name: stats.channel_means[node.input[0]]
                for node in model.graph.node
                if config.bias_correction
                and node.name in config.float_nodes
                and node.input[0] in stats.channel_means
            }
            store_weights_int8(quantized, config.float_nodes, means)
        return quantized

    def _calibrated(self, config: QuantizationConfig) -> tuple[onnx.ModelProto, CalibrationStats]:
        """Return the float graph and its statistics, equalized and smoothed if the config says so.

        The first call for a changed graph calibrates again.
        """
        smoothing = config.smoothing and config.matmul_mode != "nbits"  # it has ranges of its own
        key = config.cross_layer_equalization, smoothing
        if not any(key):
            return self._model, self._stats
        if key not in self._changed:
            model = self._model
            if config.cross_layer_equalization:
                model = equalize_layers(model, self._stats.channel_abs_max)
            if smoothing:
                model = infer_shapes(smooth_products(model, self._stats.channel_abs_max))
            self._changed[key] = model, calibrate(model, self._feeds)
        return self._changed[key]


def all_op_types() -> tuple[str, ...]:
    """Return the types of all operators that onnxruntime can quantize, sorted."""
    return tuple(sorted({*QDQRegistry, *QLinearOpsRegistry}))


def _tensor_ranges(
    model: onnx.ModelProto, stats: CalibrationStats, config: QuantizationConfig
) -> TensorsData:
    """Return the ranges for onnxruntime's quantizer, which changes the object that it receives.

    Ranges of SiLU are clipped, those of pixels are all levels, and padded channels do not count.
    """
    ranges = unpadded_ranges(model, clip_silu_ranges(model, stats.ranges(config.ranges)))
    share = joined_ranges if config.shared_ranges else moved_ranges
    ranges = pixel_ranges(model, share(model, ranges))
    typed = {n: (np.float32(low), np.float32(high)) for n, (low, high) in ranges.items()}
    return TensorsData(CalibrationMethod.MinMax, typed)


def _quantize_dynamic(
    model: onnx.ModelProto, excluded: list[str], *, reduce_range: bool
) -> onnx.ModelProto:
    """Make each MatMul of an activation and a weight integer; return the same model, changed."""
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
    with _without_warnings():
        quantizer.quantize_model()
    return quantizer.model.model


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence Python's warnings, and log errors only, while the block runs.

    onnxruntime's quantizer logs a warning for each tensor that it skips.
    """
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.setLevel(level)
