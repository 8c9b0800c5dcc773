from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from convert.export.graph.free_batch import free_reshapes
from convert.export.graph.surgery import free_batch

BATCH = np.arange(3 * 2 * 3 * 4, dtype=np.float32).reshape(3, 2, 3, 4)


def model(nodes: Sequence[onnx.NodeProto], **shapes: Sequence[int]) -> onnx.ModelProto:
    """Return a graph from x (1, 2, 3, 4) to y; `shapes` are its constants."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 3, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 3)],
        [numpy_helper.from_array(np.array(shape, np.int64), n) for n, shape in shapes.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(graph: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[np.float32]:
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    output: NDArray[np.float32] = session.run(None, {"x": x})[0]
    return output


@pytest.mark.parametrize("shape", [(1, -1, 4), (1, 6, 4), (1, 4, -1)])
def test_a_row_of_a_batch_equals_the_row_alone(shape: tuple[int, ...]) -> None:
    single = model(
        [
            helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1]),
            helper.make_node("Reshape", ["t", "s"], ["y"]),
        ],
        s=shape,
    )
    batch = run(free_batch(free_reshapes(single)), BATCH)
    alone = [run(single, row[np.newaxis]) for row in BATCH]
    np.testing.assert_array_equal(batch, np.concatenate(alone))


def test_a_reshape_whose_input_has_no_batch_axis_stays() -> None:
    single = model(
        [
            helper.make_node("Reshape", ["x", "flat"], ["f"]),  # the batch is gone: (6, 4)
            helper.make_node("Reshape", ["f", "s"], ["y"]),
        ],
        flat=(6, 4),
        s=(1, -1, 4),
    )
    freed = free_reshapes(single)
    assert [node.input[1] for node in freed.graph.node] == ["flat", "s"]
    np.testing.assert_array_equal(run(freed, BATCH[:1]), run(single, BATCH[:1]))


def test_a_computed_shape_stays() -> None:
    single = model(
        [
            helper.make_node("Shape", ["x"], ["s"], end=2),
            helper.make_node("Concat", ["s", "rest"], ["shape"], axis=0),
            helper.make_node("Reshape", ["x", "shape"], ["y"]),
        ],
        rest=(-1,),
    )
    freed = free_batch(free_reshapes(single))
    np.testing.assert_array_equal(run(freed, BATCH), BATCH.reshape(3, 2, 12))


def test_allowzero_is_removed_where_the_shape_has_no_zero() -> None:
    node = helper.make_node("Reshape", ["x", "s"], ["y"], allowzero=1)
    freed = free_batch(free_reshapes(model([node], s=(1, 6, 4))))
    np.testing.assert_array_equal(run(freed, BATCH), BATCH.reshape(3, 6, 4))


def test_a_literal_zero_stays() -> None:
    node = helper.make_node("Reshape", ["x", "s"], ["y"], allowzero=1)
    assert free_reshapes(model([node], s=(1, 0, 4))).graph.node[0].input[1] == "s"
