from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from convert.quantize.graph_files import GraphFiles
from convert.quantize.quantizer import QuantizationConfig

CONFIGS = [QuantizationConfig((name,)) for name in ("Conv", "Gemm", "MatMul")]
WEIGHTS_BYTES = 4000


def files(directory: Path, *, most_bytes: int) -> tuple[GraphFiles, list[QuantizationConfig]]:
    """Files of a little over WEIGHTS_BYTES each, and the configs that were quantized for them."""
    quantized: list[QuantizationConfig] = []

    def quantize(config: QuantizationConfig) -> onnx.ModelProto:
        quantized.append(config)
        weights = numpy_helper.from_array(np.ones(WEIGHTS_BYTES // 4, np.float32), "weights")
        return helper.make_model(helper.make_graph([], config.op_types[0], [], [], [weights]))

    return GraphFiles(quantize, directory, most_bytes=most_bytes), quantized


def test_each_config_is_quantized_once(tmp_path: Path) -> None:
    graphs, quantized = files(tmp_path, most_bytes=10 * WEIGHTS_BYTES)
    paths = [graphs.path(config) for config in CONFIGS]
    for config in CONFIGS:
        graphs.keep(config, loss=0.5)
    assert [graphs.path(config) for config in CONFIGS] == paths
    assert len(set(paths)) == 3
    assert [onnx.load(path).graph.name for path in paths] == ["Conv", "Gemm", "MatMul"]
    assert quantized == CONFIGS


def test_the_least_accurate_make_room_and_are_quantized_again(tmp_path: Path) -> None:
    graphs, quantized = files(tmp_path, most_bytes=int(2.5 * WEIGHTS_BYTES))
    paths = []
    for config, loss in zip(CONFIGS, (0.2, float("inf"), 0.1), strict=True):
        paths.append(graphs.path(config))
        graphs.keep(config, loss=loss)
    assert [path.exists() for path in paths] == [True, False, True]
    assert onnx.load(graphs.path(CONFIGS[1])).graph.name == "Gemm"
    assert graphs.path(CONFIGS[1]) not in paths
    assert quantized == [*CONFIGS, CONFIGS[1]]


def test_a_file_larger_than_all_space_does_not_stay(tmp_path: Path) -> None:
    graphs, _ = files(tmp_path, most_bytes=WEIGHTS_BYTES // 2)
    graphs.path(CONFIGS[0])
    graphs.keep(CONFIGS[0], loss=0.1)
    assert list(tmp_path.iterdir()) == []
