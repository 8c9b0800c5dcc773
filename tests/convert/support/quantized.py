"""A small quantized graph, and the choice between graphs without measuring time or memory."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import onnx
import pytest

from convert.package import measure_variant
from convert.quantize import measure_candidates
from convert.quantize.quantizer import QuantizationConfig, Quantizer, all_op_types
from tests.convert.support import nets
from tests.convert.support.parity import write_float_graph


def write_int8(path: Path, *, reduce_range: bool) -> Path:
    """Write a net of two convolutions and a linear layer, all of it quantized."""
    write_float_graph(nets.loaded(nets.convolutions(layers=2)), path)
    quantizer = Quantizer(onnx.load(path), nets.sample_sets().calibration)
    onnx.save(
        quantizer.quantize(QuantizationConfig(all_op_types(), reduce_range=reduce_range)), path
    )
    return path


def fix_timings(monkeypatch: pytest.MonkeyPatch, float_ms: float, *others_ms: float) -> None:
    """Replace measured times and memory, so that a choice does not depend on the machine.

    Args:
        monkeypatch: undoes it after the test.
        float_ms: of the float graph, which is timed first.
        others_ms: of the graphs after it; a single value stands for any number of graphs.
    """

    def least_ms(paths: Sequence[Path], feeds: object, **options: object) -> list[float]:
        count = len(paths) - 1
        others = others_ms * count if len(others_ms) == 1 else others_ms
        assert len(others) == count
        return [float_ms, *others]

    for module in (measure_candidates, measure_variant):
        monkeypatch.setattr(module, "least_ms", least_ms)
    monkeypatch.setattr(
        measure_candidates, "peak_bytes", lambda path, feeds: 1
    )  # a process for each graph


def count_quantizations(monkeypatch: pytest.MonkeyPatch) -> Counter[QuantizationConfig]:
    """Count how often each configuration is quantized from here on."""
    counts: Counter[QuantizationConfig] = Counter()
    quantize = Quantizer.quantize

    def count_and_quantize(quantizer: Quantizer, config: QuantizationConfig) -> onnx.ModelProto:
        counts[config] += 1
        return quantize(quantizer, config)

    monkeypatch.setattr(Quantizer, "quantize", count_and_quantize)
    return counts
