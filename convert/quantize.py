"""Quantization of a float graph: ranges once, then as many candidates as wanted.

UINT8 activations and per-channel INT8 weights: on x86 INT8 activations are slower than float.
Static QDQ pairs, or where a setting says so a range of MatMul's input measured at each run.
"""

import logging
import math
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import CalibrationDataReader, create_calibrator
from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import QuantizationMode
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from convert.blocks import quantize_products
from convert.errors import ConvertError
from convert.gelus import fuse_gelus
from convert.graph import initializers
from convert.numerics import PREFIX
from convert.tables import quantize_tables
from runtime.session import Feeds

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
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
    reduce_range: bool = False  # weights in 7 bits: no pair of products saturates without VNNI


@dataclass(frozen=True, slots=True)
class Unit:
    """A layer with the activations that follow it: the smallest part that stays in float together.

    A float layer between integer activations is quantized on both sides all the same.
    """

    nodes: tuple[str, ...]  # the layer first
    work: float  # its share of the network's multiplications, in [0, 1]


class Quantizer:
    """Quantizes one float graph in any number of ways from ranges observed once."""

    def __init__(self, model: onnx.ModelProto, feeds: Sequence[Feeds]) -> None:
        """Observe the range of every tensor.

        Args:
            model: float graph, canonical names, numerics under PREFIX.
            feeds: calibration inputs, one sample each; ranges are minimum and maximum over all.

        Raises:
            ConvertError: onnxruntime's calibrator refuses the graph.
        """
        self._model = _with_shapes(quantize_tables(model))
        self._ranges = _observe(self._model, feeds)
        self.units = units(self._model, feeds[0])
        self._tail = frozenset(_tail(self._model))

    @property
    def product_share(self) -> float:
        """Share of MatMul with weights in the multiplications: most, in a transformer."""
        products = {node.name for node in self._model.graph.node if node.op_type == "MatMul"}
        return sum(unit.work for unit in self.units if unit.nodes[0] in products)

    def quantize(self, setting: Setting) -> onnx.ModelProto:
        """Insert integers; numerics and the output's own activation always stay in float."""
        excluded = list(self._excluded(setting))
        quantized = self._static(setting, excluded)
        if setting.products == "blocks":
            quantized = quantize_products(quantized, frozenset(excluded))
        elif setting.products == "dynamic":
            quantized = _dynamic(quantized, excluded, reduce_range=setting.reduce_range)
        # with these shapes onnxruntime fuses sums and norms to an operator that is slower than
        # both: wav2vec2 95 ms instead of 83
        del quantized.graph.value_info[:]
        return fuse_gelus(quantized)

    def _excluded(self, setting: Setting) -> Iterator[str]:
        weights = {tensor.name for tensor in self._model.graph.initializer}
        for node in self._model.graph.node:
            of_activations = node.op_type == "MatMul" and not weights.intersection(node.input)
            if (
                node.name.startswith(PREFIX)
                or node.name in self._tail
                or node.name in setting.float_nodes
                or (of_activations and setting.products != "whole")
            ):
                yield node.name

    def _static(self, setting: Setting, excluded: list[str]) -> onnx.ModelProto:
        copy = onnx.ModelProto()
        copy.CopyFrom(self._model)
        left = {"MatMul"} if setting.products in ("dynamic", "blocks") else set()
        answers_in_float = ["MatMul"] if setting.products == "inputs" else []
        quantizer = QDQQuantizer(
            copy,
            per_channel=True,
            reduce_range=setting.reduce_range,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=self._ranges,
            nodes_to_quantize=[],
            nodes_to_exclude=excluded,
            op_types_to_quantize=[name for name in setting.op_types if name not in left],
            extra_options={"OpTypesToExcludeOutputQuantization": answers_in_float},
        )
        with _quiet():
            quantizer.quantize_model()
        return quantizer.model.model


def all_op_types() -> tuple[str, ...]:
    """Every operator that onnxruntime quantizes with QDQ."""
    return tuple(sorted({*QDQRegistry, *QLinearOpsRegistry}))


def units(model: onnx.ModelProto, feeds: Feeds) -> tuple[Unit, ...]:
    """Partition the network's nodes into units, in graph order.

    Every weighted operator begins one; another node belongs to the latest unit among its inputs'.

    Args:
        model: as of `Quantizer`.
        feeds: one sample, whose sizes decide how much work a layer is.
    """
    weights = initializers(model)
    sizes = _sizes(model, feeds)
    groups: list[list[str]] = []
    work: list[float] = []
    unit_of: dict[str, int] = {}
    for node in model.graph.node:
        if node.name.startswith(PREFIX):
            continue
        matrices = [weights[name] for name in node.input if name in weights]
        if node.op_type in WEIGHTED and matrices:
            groups.append([])
            index = len(groups) - 1
            work.append(_multiplications(node, matrices[0], sizes.get(node.output[0], 1)))
        else:
            index = max((unit_of[name] for name in node.input if name in unit_of), default=-1)
        if index < 0:
            continue
        groups[index].append(node.name)
        unit_of.update(dict.fromkeys(node.output, index))
    total = sum(work) or 1.0
    return tuple(
        Unit(tuple(group), share / total) for group, share in zip(groups, work, strict=True)
    )


def _multiplications(node: onnx.NodeProto, matrix: NDArray[Any], output_size: int) -> float:
    """Of one layer and sample: each output value is a sum over the weights of its channel."""
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    by_row = node.op_type == "Conv" or (node.op_type == "Gemm" and transposed)
    return output_size * matrix.size / matrix.shape[0 if by_row else -1]


def _sizes(model: onnx.ModelProto, feeds: Feeds) -> dict[str, int]:
    """Values in each tensor of one sample, by name, where shapes are known."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]  # of any size
    for value in fixed.graph.input:
        for dim, size in zip(
            value.type.tensor_type.shape.dim, feeds[value.name].shape, strict=True
        ):
            dim.dim_value = size
    known = (*_with_shapes(fixed).graph.value_info, *model.graph.output)
    return {
        value.name: math.prod(dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim)
        for value in known
    }


def _tail(model: onnx.ModelProto) -> Iterator[str]:
    """Nodes after the last weighted operator: they make the answer and cost next to nothing."""
    weights = initializers(model).keys()
    consumed_by_layer: set[str] = set()
    for node in reversed(model.graph.node):
        leads_to_layer = any(name in consumed_by_layer for name in node.output)
        is_layer = node.op_type in WEIGHTED and any(name in weights for name in node.input)
        if is_layer or leads_to_layer:
            consumed_by_layer.update(node.input)
        if not is_layer and not leads_to_layer:
            yield node.name


def _with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    # the quantizer skips, without a word, a tensor whose type it does not know
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


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


def _observe(model: onnx.ModelProto, feeds: Sequence[Feeds]) -> Any:
    with tempfile.TemporaryDirectory(prefix="slipway-") as directory:
        path = Path(directory, "float.onnx")
        onnx.save(model, path)
        try:
            calibrator = create_calibrator(
                path,
                augmented_model_path=str(Path(directory, "augmented.onnx")),
                calibrate_method=CalibrationMethod.MinMax,
            )
            calibrator.collect_data(_Reader(feeds))
            return calibrator.compute_data()
        except Exception as error:  # onnxruntime's exceptions share no base class of their own
            raise ConvertError(f"calibration failed: {error}") from error


class _Reader(CalibrationDataReader):
    def __init__(self, feeds: Sequence[Feeds]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Any:
        return next(self._feeds, None)


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
