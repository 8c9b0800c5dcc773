"""MatMulNBits, and embedding tables in 8 bits."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from convert.export.numerics import PREFIX
from convert.quantize.passes.embedding_tables import quantize_embedding_tables
from convert.quantize.passes.matmul_nbits import BLOCK, pack_matmul_nbits
from runtime.engine.session import Session, SessionOptions

ROWS, WIDTH, OUT = 2000, 96, 24  # the width is no multiple of a block


def table() -> NDArray[np.float32]:
    values = np.random.default_rng(0).standard_normal((ROWS, WIDTH)).astype(np.float32)
    values *= np.logspace(-3, 2, ROWS, dtype=np.float32)[:, None]  # rows of very different sizes
    values[7] = 0
    return values


def weight() -> NDArray[np.float32]:
    values = np.random.default_rng(1).standard_normal((WIDTH, OUT)).astype(np.float32)
    values[:, 3] = 0
    return values


def looking_up(*, also_read: bool = False) -> onnx.ModelProto:
    """Return a graph from ids (N, L) to their rows (N, L, WIDTH)."""
    nodes = [helper.make_node("Gather", ["table", "ids"], ["rows"], "net/look_up")]
    outputs = [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["N", "L", WIDTH])]
    if also_read:
        nodes.append(helper.make_node("ReduceSum", ["table"], ["sum"], "net/sum", keepdims=0))
        outputs.append(helper.make_tensor_value_info("sum", TensorProto.FLOAT, []))
    return _model(nodes, ("ids", TensorProto.INT64, ["N", "L"]), outputs, {"table": table()})


def multiplying() -> onnx.ModelProto:
    """Return a graph of two products (N, L, OUT) with the same weight, and of their sum."""
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["one"], "net/one"),
        helper.make_node("Relu", ["x"], ["positive"], "net/relu"),
        helper.make_node("MatMul", ["positive", "weight"], ["two"], "net/two"),
        helper.make_node("Add", ["one", "two"], ["y"], "net/add"),
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "L", OUT])
    return _model(
        nodes, ("x", TensorProto.FLOAT, ["N", "L", WIDTH]), [output], {"weight": weight()}
    )


def _model(
    nodes: list[onnx.NodeProto],
    graph_input: tuple[str, int, list[int | str]],
    outputs: list[onnx.ValueInfoProto],
    constants: dict[str, NDArray[np.float32]],
) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    inputs = [helper.make_tensor_value_info(*graph_input)]
    graph = helper.make_graph(nodes, "test", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def save(model: onnx.ModelProto, path: Path) -> Path:
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def test_rows_are_rounded_with_a_scale_each(tmp_path: Path) -> None:
    path = save(quantize_embedding_tables(looking_up()), tmp_path / "int8.onnx")
    ids = np.arange(ROWS).reshape(2, -1)
    rows = Session(path).run({"ids": ids})["rows"].astype(np.float32).reshape(ROWS, WIDTH)
    step = np.abs(table()).max(axis=1, keepdims=True) / 127
    assert (np.abs(rows - table()) <= 0.501 * step).all()
    np.testing.assert_array_equal(rows[7], np.zeros(WIDTH, np.float32))


def test_table_stays_small_when_onnxruntime_optimises_it(tmp_path: Path) -> None:
    path = save(quantize_embedding_tables(looking_up()), tmp_path / "int8.onnx")
    optimized = tmp_path / "optimized.onnx"
    Session(path, SessionOptions(optimized_path=optimized))
    constants = onnx.load(optimized).graph.initializer
    floats = [t for t in constants if t.data_type == TensorProto.FLOAT and t.name]
    assert sum(int(np.prod(t.dims)) for t in floats) == ROWS  # a scale each
    assert path.stat().st_size < 0.3 * table().nbytes


def test_small_tables_and_tables_read_otherwise_stay() -> None:
    for model in (looking_up(also_read=True), multiplying()):
        assert quantize_embedding_tables(model) == model
    small = looking_up()
    small.graph.initializer[0].CopyFrom(numpy_helper.from_array(table()[:9], "table"))
    assert quantize_embedding_tables(small) == small


def test_look_ups_are_named_as_numerics_that_stay_in_float() -> None:
    names = [node.name for node in quantize_embedding_tables(looking_up()).graph.node]
    assert len(names) == 4
    assert all(name.startswith(PREFIX) for name in names)


def test_an_outlier_spoils_only_its_own_row(tmp_path: Path) -> None:
    model = multiplying()
    exact, packed = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    save(model, exact)
    onnx.save(pack_matmul_nbits(model, frozenset()), packed)
    x = np.random.default_rng(2).standard_normal((2, 5, WIDTH)).astype(np.float32)
    x[0, 0, 0] = 1000  # spoils one block of one row
    expected, quantized = (
        Session(p).run({"x": x})["y"].astype(np.float32) for p in (exact, packed)
    )
    others = np.ones((2, 5), bool)
    others[0, 0] = False
    error, size = (np.sqrt((a[others] ** 2).mean()) for a in (quantized - expected, expected))
    assert 0 < error < 0.015 * size  # measured: 0.9 %; 0 would be float
    np.testing.assert_allclose(quantized[..., 3], 0, atol=1e-6)
    assert [n.op_type for n in onnx.load(packed).graph.node].count("MatMulNBits") == 2


@pytest.mark.parametrize("threads", [1, 2])
def test_a_row_does_not_depend_on_other_rows(tmp_path: Path, threads: int) -> None:
    path = tmp_path / "int8.onnx"
    onnx.save(pack_matmul_nbits(multiplying(), frozenset()), path)
    session = Session(path, SessionOptions(threads=threads))
    x = np.random.default_rng(3).standard_normal((6, 40, WIDTH)).astype(np.float32)
    x[1:] *= 50
    together = session.run({"x": x})["y"].astype(np.float32)
    for length in (1, 2, 7, 40):
        alone = session.run({"x": x[:1, :length]})["y"].astype(np.float32)
        np.testing.assert_allclose(alone, together[:1, :length], atol=2e-5)


def test_excluded_nodes_keep_their_float_weight() -> None:
    model = pack_matmul_nbits(multiplying(), frozenset({"net/two"}))
    op_types = {node.name: node.op_type for node in model.graph.node}
    assert op_types["net/one"] == "MatMulNBits"
    assert op_types["net/two"] == "MatMul"
    shapes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    blocks = -(-WIDTH // BLOCK)
    assert shapes == {
        "weight": [WIDTH, OUT],
        "weight_blocks": [OUT, blocks, BLOCK],
        "weight_scales": [OUT, blocks],
    }
    untouched = pack_matmul_nbits(multiplying(), frozenset({"net/one", "net/two"}))
    assert untouched == multiplying()
