"""ONNX files from elsewhere: each converts, or its error says on one line what to do."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from convert.errors import CheckpointError, ConvertError
from convert.export.frameworks.onnx_graph import OnnxNetwork
from convert.export.graph.surgery import canonicalize
from convert.pipeline.cache import content_hashes, fingerprint
from convert.recipe import read
from tests.convert.support.command_line import refuse, scratch_directories, succeed

TOLERANCE = 1e-5
SIDE = 8
WEIGHT = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
DENSE = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
Value = onnx.ValueInfoProto


def tensor(name: str, shape: Sequence[int | str] | None, kind: int = TensorProto.FLOAT) -> Value:
    return helper.make_tensor_value_info(name, kind, shape)


def conv(source: str = "x", target: str = "c") -> onnx.NodeProto:
    return helper.make_node("Conv", [source, "w"], [target], kernel_shape=[3, 3])


def head(source: str = "c") -> list[onnx.NodeProto]:
    """Return pooling, flattening and a matrix product: (1, 3) logits."""
    return [
        helper.make_node("GlobalAveragePool", [source], ["p"]),
        helper.make_node("Reshape", ["p", "flat"], ["f"]),
        helper.make_node("MatMul", ["f", "d"], ["y"]),
    ]


def write(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    *,
    inputs: Sequence[Value] = (),
    outputs: Sequence[Value] = (),
    constants: Sequence[onnx.TensorProto] = (),
    opset: int = 17,
) -> Path:
    arrays = {"w": WEIGHT, "d": DENSE, "flat": np.array([1, 4])}
    weights = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(
        list(nodes),
        "g",
        list(inputs) or [tensor("x", [1, 3, SIDE, SIDE])],
        list(outputs) or [tensor("y", [1, 3])],
        [*weights, *constants],
    )
    versions = {"": opset, "ai.onnx.ml": 3, "com.microsoft": 1}
    opsets = [helper.make_opsetid(domain, version) for domain, version in versions.items()]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def classifier(path: Path) -> Path:
    """Write a classifier for a batch of one, as exporters do: flattened to a constant (1, 4)."""
    return write(path, [conv(), *head()])


def with_external_data(path: Path) -> Path:
    """Write the same classifier with its weights in <path>.data."""
    options = {"save_as_external_data": True, "location": f"{path.name}.data", "size_threshold": 0}
    onnx.save(onnx.load(classifier(path)), path, **options)  # type: ignore[arg-type]  # one each
    return path


def images(count: int = 3) -> np.ndarray:
    shape = (count, 3, SIDE, SIDE)
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


def assert_exports_equal(network: OnnxNetwork, batch: np.ndarray) -> onnx.ModelProto:
    model = canonicalize(network.export())
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    output = session.run(None, {session.get_inputs()[0].name: batch})[0]
    np.testing.assert_allclose(output, network.forward(batch)[0], atol=TOLERANCE)
    return model


def test_a_file_for_one_image_is_exported_for_any_number(tmp_path: Path) -> None:
    assert_exports_equal(OnnxNetwork(classifier(tmp_path / "one.onnx")), images())


def test_external_data(tmp_path: Path) -> None:
    path = with_external_data(tmp_path / "model.onnx")
    assert_exports_equal(OnnxNetwork(path), images())
    data = path.with_name("model.onnx.data")
    content = data.read_bytes()
    data.write_bytes(content[:50])
    assert "not a valid ONNX file: External data length" in refusal(lambda: OnnxNetwork(path))
    data.unlink()
    message = refusal(lambda: OnnxNetwork(path))
    location = "model.onnx.data, which must be in the same folder"
    assert message == f"{path}: its weights are in {location}"


def test_changed_external_data_changes_the_fingerprint(tmp_path: Path, tiny_recipe: Path) -> None:
    path = with_external_data(tmp_path / "model.onnx")

    def key() -> str:
        return fingerprint(read(tiny_recipe), content_hashes(path))

    before = key()
    assert key() == before
    data = path.with_name("model.onnx.data")
    data.write_bytes(bytes(len(data.read_bytes())))
    assert key() != before
    data.unlink()  # the fingerprint still exists; reading the file is what fails
    assert key() not in ("", before)


def test_over_two_gigabytes(tmp_path: Path) -> None:
    path = with_external_data(tmp_path / "model.onnx")
    with path.with_name("model.onnx.data").open("r+b") as data:
        data.truncate(3 * 10**9)  # a hole: no disk is used
    assert "3.0 GB with its weights; a graph has at most 2.1 GB" in refusal(
        lambda: OnnxNetwork(path)
    )


def test_the_recipe_fixes_a_free_size(tmp_path: Path) -> None:
    # as torch exports interpolate(size=x.shape[2:]): the size is read at run time
    nodes = [
        helper.make_node("MaxPool", ["x"], ["half"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Resize", ["half", "", "", "shape"], ["r"], mode="linear"),
        conv("r"),
        *head(),
    ]
    path = write(tmp_path / "any.onnx", nodes, inputs=[tensor("x", [1, 3, "height", "width"])])
    assert OnnxNetwork(path).input_shape == (3, 0, 0)
    fixed = OnnxNetwork(path, size=(SIDE, SIDE))
    assert fixed.input_shape == (3, SIDE, SIDE)
    model = assert_exports_equal(fixed, images())
    assert "Shape" not in {node.op_type for node in model.graph.node}
    static = classifier(tmp_path / "static.onnx")
    message = refusal(lambda: OnnxNetwork(static, size=(9, 9)))
    assert message == f"{static}: takes images of (8, 8); the recipe needs (9, 9)"


def branch(name: str) -> onnx.GraphProto:
    nodes = [helper.make_node("Mul" if name == "then" else "Add", ["c", "c"], [name])]
    return helper.make_graph(nodes, name, [], [tensor(name, None)])


def branching(path: Path, *, constant: bool) -> Path:
    """Write an If on the image's rank, which folds away, or on its pixels, which does not."""
    condition = (
        [
            helper.make_node("Shape", ["x"], ["shape"]),
            helper.make_node("Size", ["shape"], ["rank"]),
            helper.make_node("Equal", ["rank", "four"], ["condition"]),
        ]
        if constant
        else [
            helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
            helper.make_node("Greater", ["sum", "zero"], ["condition"]),
        ]
    )
    choice = helper.make_node(
        "If", ["condition"], ["r"], then_branch=branch("then"), else_branch=branch("else")
    )
    constants = [
        numpy_helper.from_array(np.array(4, np.int64), "four"),
        numpy_helper.from_array(np.array(0, np.float32), "zero"),
    ]
    return write(path, [conv(), *condition, choice, *head("r")], constants=constants)


def test_a_constant_condition_folds_away(tmp_path: Path) -> None:
    network = OnnxNetwork(branching(tmp_path / "constant.onnx", constant=True))
    model = assert_exports_equal(network, images())
    assert "If" not in {node.op_type for node in model.graph.node}


def half(path: Path) -> Path:
    model = onnx.load(classifier(path))
    for weight in model.graph.initializer:
        if weight.data_type == TensorProto.FLOAT:
            array = numpy_helper.to_array(weight).astype(np.float16)
            weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.save(model, path)
    return path


def quantized(path: Path) -> Path:
    constants = [
        numpy_helper.from_array(np.array(0.1, np.float32), "scale"),
        numpy_helper.from_array(np.array(0, np.uint8), "zero"),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["r"]),
        conv("r"),
        *head(),
    ]
    return write(path, nodes, constants=constants)


def zipmap(path: Path) -> Path:
    """Write the end of scikit-learn's exports: a list of dictionaries."""
    kind = helper.make_sequence_type_proto(
        helper.make_map_type_proto(
            TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
        )
    )
    node = helper.make_node(
        "ZipMap", ["y"], ["z"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2]
    )
    return write(path, [conv(), *head(), node], outputs=[helper.make_value_info("z", kind)])


def best_class(path: Path) -> Path:
    node = helper.make_node("ArgMax", ["y"], ["label"], axis=1)
    outputs = [tensor("label", [1, 1], TensorProto.INT64), tensor("y", [1, 3])]
    return write(path, [conv(), *head(), node], outputs=outputs)


def without_outputs(path: Path) -> Path:
    model = onnx.load(classifier(path))
    del model.graph.output[:]
    onnx.save(model, path)
    return path


def custom(path: Path) -> Path:
    node = helper.make_node("Gelu", ["c"], ["r"], domain="com.microsoft")
    return write(path, [conv(), node, *head("r")])


def constant_for_one(path: Path) -> Path:
    """Write a class token as exporters do for one image; it looks like any weight."""
    token = numpy_helper.from_array(np.ones((1, 4, 1, 6), np.float32), "token")
    concat = helper.make_node("Concat", ["c", "token"], ["r"], axis=2)
    return write(path, [conv(), concat, *head("r")], constants=[token])


def four_at_a_time(path: Path) -> Path:
    return write(
        path, [conv()], inputs=[tensor("x", [4, 3, 8, 8])], outputs=[tensor("c", [4, 4, 6, 6])]
    )


def old(path: Path) -> Path:
    return write(
        path, [helper.make_node("Relu", ["x"], ["c"])], opset=6, outputs=[tensor("c", [1, 3, 8, 8])]
    )


def input_as_output(path: Path) -> Path:
    return write(path, [conv()], outputs=[tensor("x", [1, 3, SIDE, SIDE])])


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "half": (half, "its weights are in half precision (2 tensors); export it in float32"),
    "quantized": (quantized, "quantized already (DequantizeLinear, QuantizeLinear); convert the"),
    "maps": (zipmap, "its output 'z' is a sequence; needed: a float tensor that it computes."),
    "label": (best_class, "its output 'label' is int64; needed: a float tensor"),
    "no outputs": (without_outputs, "has 0 outputs; needed: 1"),
    "branch": (
        lambda path: branching(path, constant=False),
        "has branches or loops that depend on the image (If, Loop or Scan); export it for a fixed",
    ),
    "custom": (custom, "uses the operators com.microsoft.Gelu; allowed: standard ONNX. Export it"),
    "for one": (constant_for_one, "computes for one image at a time only; export it with a free"),
    "four": (four_at_a_time, "takes exactly 4 images at a time; export it for one"),
    "old": (old, "of opset 6; onnxruntime runs 7 and newer; export again"),
    "input": (input_as_output, "its output 'x' is an input, or a constant; needed: a float tensor"),
}  # fmt: skip


def refusal(action: Callable[[], object]) -> str:
    """Return the error of a refused file, which is one line."""
    with pytest.raises(ConvertError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_cannot_be_packaged_are_refused(tmp_path: Path, name: str) -> None:
    write_file, message = REFUSED[name]
    path = write_file(tmp_path / "user.onnx")
    assert message in refusal(lambda: canonicalize(OnnxNetwork(path).export()))


def test_an_image_of_another_size_is_refused(tmp_path: Path) -> None:
    path = classifier(tmp_path / "one.onnx")
    with pytest.raises(CheckpointError) as caught:
        OnnxNetwork(path).forward(np.zeros((1, 3, 9, 9), np.float32))
    assert f"{path}: onnxruntime cannot run it on (1, 3, 9, 9): " in str(caught.value)


RECIPE = """
from convert.export.frameworks.onnx_graph import OnnxNetwork
from convert.export.numerics import ImageInput, Probabilities
from convert.recipe import Loaded, Recipe, Tolerance
from runtime.artifact.manifest import Resize

def load(path):
    return Loaded(
        network=OnnxNetwork(path),
        input=ImageInput(8, 8, 3, mean=(0, 0, 0), std=(1, 1, 1)),
        head=Probabilities(softmax=True),
        preprocess=(Resize("linear", height=8, width=8),),
        labels=("a", "b", "c"),
    )

RECIPE = Recipe(
    task="image-classification", description="of the tests", licence="Apache-2.0", load=load,
    tolerance=Tolerance(), media="scene",
)
"""


@pytest.mark.slow  # five conversions, each a process
def test_a_refusal_leaves_earlier_versions_and_nothing_else(tmp_path: Path) -> None:
    recipe = tmp_path / "own.py"
    recipe.write_text(RECIPE, encoding="utf-8")
    arguments = ("--recipe", recipe, "--precision", "float", "--out", tmp_path / "out")
    good = classifier(tmp_path / "good.onnx")
    succeed(*arguments, "--checkpoint", good, directory=tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "out/own").rglob("*.*")}
    for name in ("input", "custom", "for one"):  # refused while loading, and while exporting
        path = REFUSED[name][0](tmp_path / "bad.onnx")
        assert REFUSED[name][1] in refuse(*arguments, "--checkpoint", path, directory=tmp_path)
    broken = '    raise ValueError("two\\nlines")\n    return Loaded('
    recipe.write_text(RECIPE.replace("    return Loaded(", broken), encoding="utf-8")
    message = refuse(*arguments, "--checkpoint", good, directory=tmp_path)
    assert "own refused: ValueError: two lines (" in message
    assert {path: path.read_bytes() for path in (tmp_path / "out/own").rglob("*.*")} == before
    assert scratch_directories(tmp_path / "out") == []
