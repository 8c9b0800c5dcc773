from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch  # noqa: TID253 - in a process without TensorFlow
from onnx import TensorProto, helper

from convert.errors import CheckpointError, ConvertError, RecipeError
from convert.export.frameworks import torch_module
from convert.export.frameworks.onnx_graph import OnnxNetwork
from tests.convert.support.keras_process import in_keras

# float arithmetic in another order, of values around 1
TOLERANCE = 1e-5


def images(count: int, *, side: int = 8) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(count, 3, side, side)).astype(np.float32)


def run(model: onnx.ModelProto, batch: np.ndarray) -> np.ndarray:
    import onnxruntime as ort

    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    output: np.ndarray = session.run(None, {model.graph.input[0].name: batch})[0]
    return output


def write_graph(
    path: Path,
    *,
    element: int = TensorProto.FLOAT,
    shape: Iterable[int | str] = (1, 3, 8, 8),
    names: Iterable[str] = ("x",),
    outputs: int = 1,
) -> Path:
    """Each output is Relu of the sum of the inputs."""
    inputs = [helper.make_tensor_value_info(name, element, list(shape)) for name in names]
    results = [helper.make_tensor_value_info(f"y{i}", element, list(shape)) for i in range(outputs)]
    nodes = [helper.make_node("Sum", list(names), ["sum"])]
    nodes += [helper.make_node("Relu", ["sum"], [f"y{i}"]) for i in range(outputs)]
    graph = helper.make_graph(nodes, "g", inputs, results)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def refusal(load: Callable[[], object], path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load()
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def test_torch_export_equals_forward_at_any_batch() -> None:
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Upsample(scale_factor=2)
    )
    network = torch_module.TorchNetwork(module, input_shape=(3, 8, 8))
    model = network.export()
    for count in (1, 3):
        batch = images(count)
        np.testing.assert_allclose(run(model, batch), network.forward(batch)[0], atol=TOLERANCE)


def test_torch_method_other_than_forward() -> None:
    class Net(torch.nn.Module):
        def embed(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(dim=(2, 3)) * 2

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise NotImplementedError

    network = torch_module.TorchNetwork(Net(), input_shape=(3, 8, 8), method="embed")
    batch = images(2)
    expected = batch.mean(axis=(2, 3)) * 2
    np.testing.assert_allclose(network.forward(batch)[0], expected, atol=TOLERANCE)
    np.testing.assert_allclose(run(network.export(), batch), expected, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (lambda x: {"logits": x}, "the module returns dict; the recipe says 1 tensors"),
        (lambda x: (x, x), "the module returns Tensor, Tensor; the recipe says 1 tensors"),
        (lambda x: x.numpy(), "the module returns ndarray; the recipe says 1 tensors"),
    ],
    ids=["dict", "two", "numpy"],
)
def test_torch_module_that_returns_something_else_is_refused(
    returned: Callable[[torch.Tensor], object], says: str
) -> None:
    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> object:
            return returned(x)

    with pytest.raises(RecipeError, match=says):
        torch_module.TorchNetwork(Net(), input_shape=(3, 8, 8)).forward(images(1))


def test_torch_operator_without_an_onnx_form_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.svdvals(x.mean(1))

    with pytest.raises(ConvertError, match=r"torch cannot export the module: .*linalg_svdvals"):
        torch_module.TorchNetwork(Net(), input_shape=(3, 8, 8)).export()
    assert capfd.readouterr() == ("", "")  # torch would print the graph


def test_torch_dropout_is_off() -> None:
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.5)).train()
    network = torch_module.TorchNetwork(module, input_shape=(3, 8, 8))
    batch = images(1)
    np.testing.assert_array_equal(network.forward(batch)[0], batch.reshape(1, -1))


def test_onnx_static_batch_becomes_free(tmp_path: Path) -> None:
    network = OnnxNetwork(write_graph(tmp_path / "relu.onnx"))
    assert network.input_shape == (3, 8, 8)
    batch = images(3)
    np.testing.assert_array_equal(network.forward(batch)[0], np.maximum(batch, 0))
    np.testing.assert_array_equal(run(network.export(), batch), np.maximum(batch, 0))


def test_onnx_output_is_chosen(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "two.onnx", outputs=2)
    model = OnnxNetwork(path, outputs=[1]).export()
    assert [value.name for value in model.graph.output] == ["y1"]
    assert len(model.graph.node) == 1 + len([n for n in model.graph.node if n.op_type == "Sum"])
    assert "has 2 outputs; needed: 3" in refusal(lambda: OnnxNetwork(path, outputs=[2]), path)


@pytest.mark.parametrize(
    ("graph", "says"),
    [
        ({"element": TensorProto.FLOAT16}, "takes x float16 of 4 axes; needed: one float image"),
        ({"shape": (1, 3)}, "takes x float of 2 axes; needed: one float image (N, C, H, W)"),
        ({"names": ("a", "b")}, "takes a float of 4 axes, b float of 4 axes; needed: one"),
    ],
    ids=["half", "vector", "two inputs"],
)
def test_onnx_of_other_inputs_is_refused(
    tmp_path: Path, graph: dict[str, object], says: str
) -> None:
    path = write_graph(tmp_path / "other.onnx", **graph)  # type: ignore[arg-type]  # one each
    assert says in refusal(lambda: OnnxNetwork(path), path)


def test_damaged_onnx_is_refused(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "cut.onnx")
    content = path.read_bytes()
    for damaged in (content[:-20], content[:3], content[:40] + b"\xff" * 40):
        path.write_bytes(damaged)
        assert "not a valid ONNX file" in refusal(lambda: OnnxNetwork(path), path)


def test_torch_file_where_onnx_is_wanted_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"a": torch.zeros(1)}, path)
    assert "a torch file; this model is read from .onnx" in refusal(lambda: OnnxNetwork(path), path)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mini-64.keras", [64, 64, 1]),
        ("mini-48.h5", [48, 48, 1]),
        ("big-48.h5", [48, 48, 1]),
        ("big-48.keras", [48, 48, 1]),
        ("head-nested.h5", [16, 16, 1]),
        ("head-logits.keras", [16, 16, 1]),
    ],
)
def test_keras_family_loads_back_and_exports_equal(
    keras_files: Path, name: str, shape: list[int]
) -> None:
    found = in_keras("parity", str(keras_files / name))
    assert found["input"] == ["N", *shape]
    assert max(found["differences"].values()) <= 1e-4
    assert found["spread"] > 1e-3  # a constant answer would prove nothing
    np.testing.assert_allclose(found["sums"], 1, atol=1e-5)


def test_keras_values_outside_the_weights_are_in_the_graph(tmp_path: Path) -> None:
    found = in_keras("exports", str(tmp_path))
    assert len(found) == 13  # six models, as .keras and as .h5, and one as .keras
    for name, measured in found.items():
        assert measured["inputs"] == 1, name
        # of pixels up to 255, where a model does not scale them itself
        assert measured["difference"] <= 1e-4 * max(1, measured["spread"]), name
        assert measured["spread"] > 1e-3, name


def test_keras_operators_without_an_onnx_form_are_named() -> None:
    text = in_keras("unsupported")
    assert text == "tf2onnx leaves TensorFlow operators without an ONNX form: BitwiseAnd"


def test_keras_softmax_is_seen_wherever_it_is(keras_files: Path) -> None:
    found = in_keras("ends_in_softmax", str(keras_files))
    without = {name for name, ends in found.items() if not ends}
    assert without == {"head-logits.h5", "head-logits.keras"}
    assert len(found) == 12


def test_keras_files_that_are_no_such_classifier_are_refused(keras_files: Path) -> None:
    says = {
        "vector.h5": "takes (None, 20); needed: (None, height, width, 1 or 3)",
        "map.h5": "returns a map, as for segmentation, of shape (14, 14, 7); needed: one value",
        "mask.keras": "returns a map, as for segmentation, of shape (14, 14, 1); needed: one",
        "regression.h5": "returns one value, of shape (1,); needed: one value for each of at least",
        "any-size.keras": "takes (None, None, None, 1); needed: (None, height, width, 1 or 3)",
        "four-channels.keras": "takes (None, 16, 16, 4); needed: (None, height, width, 1 or 3)",
        "two-images.keras": "has 2 inputs and 1 outputs; needed: one image in",
        "mini-48.weights.h5": "holds weights without an architecture",
        "code-lambda.h5": "Lambda would run code",
        "code-lambda.keras": "Lambda would run code",
        "code-nested-lambda.h5": "Lambda would run code",
        "code-nested-lambda.keras": "Lambda would run code",
        "code-function.h5": "function would run code",
        "code-function.keras": "function would run code",
        "code-class.h5": "Keras cannot load it",
        "code-class.keras": "Keras cannot load it",
        "code-map.keras": "would run code that the file brings; allowed: Keras's own layers",
        "head-sigmoid.keras": "do not sum to 1: independent labels",
    }
    found = in_keras("refusals", *(str(keras_files / name) for name in says))
    for name, text in found.items():
        assert text.startswith(f"{keras_files / name}: "), name
        assert says[name] in text
        assert "\n" not in text
    assert found.keys() == says.keys()


def test_damaged_keras_files_are_refused(keras_files: Path, tmp_path: Path) -> None:
    paths = []
    for name in ("mini-48.h5", "mini-48.keras"):
        content = (keras_files / name).read_bytes()
        paths.append(tmp_path / f"cut-{name}")
        paths[-1].write_bytes(content[: len(content) // 2])
    # the settings stay readable, the weights do not match their checksum
    middle = len(content) // 2
    paths.append(tmp_path / "holed.keras")
    paths[-1].write_bytes(content[:middle] + bytes(4000) + content[middle + 4000 :])
    found = in_keras("refusals", *map(str, paths))
    for path in paths:
        assert found[path.name].startswith(f"{path}: "), path.name
        assert "\n" not in found[path.name]


def test_keras_seeded_weights_repeat() -> None:
    assert all(in_keras("seeded_twice"))
