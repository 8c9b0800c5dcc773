"""Activations as a quantized file computes them, in the order in which products are paired."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from convert.quantize.saturation.layers import Layer, integer_layers
from runtime.engine.session import Feeds, Session, SessionOptions

ROWS = 1024  # outputs of a layer and sample that are looked at: positions, or rows of a matrix


def captured(
    path: Path, samples: Sequence[Feeds], scratch: Path
) -> Iterator[tuple[Layer, NDArray[np.uint8]]]:
    """Each integer layer of a file with its activations over all samples.

    Args:
        path: of the quantized file.
        samples: graph inputs, one each.
        scratch: where a copy is written that gives the activations as outputs.

    Yields:
        The layer, and (G, M, K) uint8 by groups: at most ROWS rows of each sample, drawn.
    """
    model = onnx.load(path)
    layers = list(integer_layers(model))
    names = list(dict.fromkeys(layer.activations for layer in layers))
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    onnx.save(model, scratch / "captured.onnx")
    session = Session(scratch / "captured.onnx", SessionOptions(threads=2))
    found = [session.run(feeds, names) for feeds in samples]
    for layer in layers:
        rows = [_rows(layer, outputs[layer.activations]) for outputs in found]
        yield layer, np.concatenate(rows, axis=1)


def _rows(layer: Layer, tensor: NDArray[Any]) -> NDArray[np.uint8]:
    if not layer.geometry:
        rows = tensor.reshape(-1, tensor.shape[-1])
        return rows[_drawn(len(rows))][np.newaxis]
    return patches(tensor[0], layer)


def patches(tensor: NDArray[np.uint8], layer: Layer) -> NDArray[np.uint8]:
    """What a convolution multiplies by its weights, at drawn positions.

    Args:
        tensor: (C, ...) uint8, one sample.
        layer: its geometry; what lies beyond an edge is the zero point.

    Returns:
        (G, M, K) uint8; K as the weights': columns within rows, channels within columns.
    """
    rank = tensor.ndim - 1
    geometry = layer.geometry
    kernel = list(geometry["kernel_shape"])
    steps = list(geometry.get("dilations", [1] * rank))
    strides = list(geometry.get("strides", [1] * rank))
    reach = [step * (size - 1) + 1 for step, size in zip(steps, kernel, strict=True)]
    pads = _pads(geometry, tensor.shape[1:], reach, strides)
    filled = np.pad(tensor, [(0, 0), *pads], constant_values=layer.zero_point)
    windows = sliding_window_view(filled, reach, axis=tuple(range(1, rank + 1)))
    every = tuple(slice(None, None, stride) for stride in strides)
    within = tuple(slice(None, None, step) for step in steps)
    windows = windows[(slice(None), *every, *within)]
    positions = windows.shape[1 : rank + 1]
    chosen: tuple[Any, ...] = np.unravel_index(_drawn(int(np.prod(positions))), positions)
    taken = np.moveaxis(windows[(slice(None), *chosen)], 0, -1)  # (M, kernel, C)
    groups = len(layer.weights)
    grouped = taken.reshape(len(taken), *kernel, groups, -1)
    return np.moveaxis(grouped, -2, 0).reshape(groups, len(taken), -1)


def _pads(
    geometry: Mapping[str, Any], sizes: Sequence[int], reach: Sequence[int], strides: Sequence[int]
) -> list[tuple[int, int]]:
    automatic = geometry.get("auto_pad", b"NOTSET")
    if automatic not in (b"SAME_UPPER", b"SAME_LOWER"):
        given = list(geometry.get("pads", [0] * 2 * len(sizes)))
        return list(zip(given[: len(sizes)], given[len(sizes) :], strict=True))
    both = []
    for size, length, stride in zip(sizes, reach, strides, strict=True):
        needed = max((-(-size // stride) - 1) * stride + length - size, 0)
        less, more = needed // 2, needed - needed // 2
        both.append((less, more) if automatic == b"SAME_UPPER" else (more, less))
    return both


def _drawn(count: int) -> NDArray[np.int64]:
    if count <= ROWS:
        return np.arange(count)
    return np.sort(np.random.default_rng(count).choice(count, ROWS, replace=False))
