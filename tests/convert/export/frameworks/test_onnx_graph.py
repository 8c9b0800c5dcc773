"""ONNX files as networks: the input, the outputs, damaged files. Further files: test_onnx_file."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch  # noqa: TID253 - in a process without TensorFlow
from onnx import TensorProto, helper

from convert.errors import CheckpointError
from convert.export.frameworks.onnx_graph import OnnxNetwork
from tests.convert.support.graphs import random_images, run_graph


def write_graph(
    path: Path,
    *,
    element: int = TensorProto.FLOAT,
    shape: Iterable[int | str] = (1, 3, 8, 8),
    names: Iterable[str] = ("x",),
    outputs: int = 1,
) -> Path:
    """Write a graph each of whose outputs is Relu of the sum of its inputs."""
    inputs = [helper.make_tensor_value_info(name, element, list(shape)) for name in names]
    results = [helper.make_tensor_value_info(f"y{i}", element, list(shape)) for i in range(outputs)]
    nodes = [helper.make_node("Sum", list(names), ["sum"])]
    nodes += [helper.make_node("Relu", ["sum"], [f"y{i}"]) for i in range(outputs)]
    graph = helper.make_graph(nodes, "g", inputs, results)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def refusal(load: Callable[[], object], path: Path) -> str:
    """Return the error of a refused file: one line that names the file."""
    with pytest.raises(CheckpointError) as caught:
        load()
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def test_fixed_batch_becomes_free(tmp_path: Path) -> None:
    network = OnnxNetwork(write_graph(tmp_path / "relu.onnx"))
    assert network.input_shape == (3, 8, 8)
    batch = random_images(3)
    np.testing.assert_array_equal(network.forward(batch)[0], np.maximum(batch, 0))
    np.testing.assert_array_equal(run_graph(network.export(), batch), np.maximum(batch, 0))


def test_an_output_is_chosen_by_index(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "two.onnx", outputs=2)
    model = OnnxNetwork(path, outputs=[1]).export()
    assert [value.name for value in model.graph.output] == ["y1"]
    assert len(model.graph.node) == 1 + len([n for n in model.graph.node if n.op_type == "Sum"])
    assert "has 2 outputs; needed: 3" in refusal(lambda: OnnxNetwork(path, outputs=[2]), path)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ({"element": TensorProto.FLOAT16}, "takes x float16 of 4 axes; needed: one float image"),
        ({"shape": (1, 3)}, "takes x float of 2 axes; needed: one float image (N, C, H, W)"),
        ({"names": ("a", "b")}, "takes a float of 4 axes, b float of 4 axes; needed: one"),
    ],
    ids=["half", "vector", "two inputs"],
)
def test_other_inputs_than_one_float_image_are_refused(
    tmp_path: Path, graph: dict[str, object], message: str
) -> None:
    path = write_graph(tmp_path / "other.onnx", **graph)  # type: ignore[arg-type]  # one each
    assert message in refusal(lambda: OnnxNetwork(path), path)


def test_damaged_file_is_refused(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "cut.onnx")
    content = path.read_bytes()
    for damaged in (content[:-20], content[:3], content[:40] + b"\xff" * 40):
        path.write_bytes(damaged)
        assert "not a valid ONNX file" in refusal(lambda: OnnxNetwork(path), path)


def test_torch_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"a": torch.zeros(1)}, path)
    assert "a torch file; this model is read from .onnx" in refusal(lambda: OnnxNetwork(path), path)
