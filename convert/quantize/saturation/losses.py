"""What saturation does to each layer of an artifact, and what 7 bits cost instead."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.quantize.saturation.captured import captured
from convert.quantize.saturation.layers import Layer, integer_layers
from convert.quantize.saturation.products import exact, saturated
from runtime.artifact.manifest import Manifest, Variant, read_manifest, verify_file
from runtime.errors import ArtifactError


@dataclass(frozen=True, slots=True)
class Loss:
    """One layer. Errors are root mean squares, as a share of the exact 8-bit result's."""

    layer: str
    op_type: str
    saturated_pairs: float  # share of all, in [0, 1]
    error_8_bit: float  # of 8-bit weights where pairs saturate
    error_7_bit: float | None  # of 7-bit weights, which do not; None: there is no such variant


def losses(directory: Path) -> list[Loss]:
    """Layer by layer, on the golden inputs.

    Args:
        directory: of a version.

    Raises:
        ArtifactError: not intact, or without an INT8 variant.
    """
    manifest = read_manifest(directory)
    eight = _variant(manifest, "int8")
    if eight is None:
        names = ", ".join(variant.name for variant in manifest.variants)
        raise ArtifactError(f"{directory}: its variants are {names}; nothing of it is 8-bit")
    seven = _variant(manifest, "int8-7bit")
    reduced = _layers(verify_file(directory, seven.files[0])) if seven else {}
    path = verify_file(directory, eight.files[0])
    with np.load(verify_file(directory, manifest.golden)) as golden:
        inputs = {t.name: golden[f"input/{t.name}"] for t in manifest.spec.inputs}
    count = len(next(iter(inputs.values())))
    samples = [{n: array[i : i + 1] for n, array in inputs.items()} for i in range(count)]
    with tempfile.TemporaryDirectory(prefix="slipway-") as scratch:
        return list(_losses(path, samples, Path(scratch), reduced))


def _losses(
    path: Path, samples: list[dict[str, Any]], scratch: Path, reduced: Mapping[str, Layer]
) -> Iterator[Loss]:
    for layer, activations in captured(path, samples, scratch):
        correct = _results(layer, [exact(*each) for each in _pairs(layer, activations)])
        found = [saturated(*each) for each in _pairs(layer, activations)]
        lost = sum(each.saturated_pairs for each in found) / sum(each.pairs for each in found)
        damaged = _results(layer, [each.sums for each in found])
        other = reduced.get(layer.name)
        error = None
        if other is not None:
            sums = [exact(*each) for each in _pairs(other, activations)]
            error = _error(correct, _results(other, sums))
        yield Loss(layer.name, layer.op_type, lost, _error(correct, damaged), error)


def _pairs(
    layer: Layer, activations: NDArray[np.uint8]
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int8]]]:
    return zip(activations, layer.weights, strict=True)


def _results(layer: Layer, sums: list[NDArray[np.int32]]) -> NDArray[np.float64]:
    """(M, N) in the weights' scales; the activations' is left out, being the same for all."""
    columns = layer.weights.astype(np.int64).sum(axis=1)  # (G, N / G)
    centred = [each - layer.zero_point * column for each, column in zip(sums, columns, strict=True)]
    return np.concatenate(centred, axis=1) * layer.scales.astype(np.float64)


def _error(correct: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    size = float(np.sqrt(np.mean(correct**2)))
    return float(np.sqrt(np.mean((found - correct) ** 2))) / size if size else 0.0


def _variant(manifest: Manifest, name: str) -> Variant | None:
    return next((variant for variant in manifest.variants if variant.name == name), None)


def _layers(path: Path) -> dict[str, Layer]:
    return {layer.name: layer for layer in integer_layers(onnx.load(path))}
