"""Sessions: outputs by name, threads, and files that onnxruntime refuses."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from runtime.artifact.manifest import Spec, parse_spec
from runtime.engine.session import Session, SessionOptions
from runtime.errors import ArtifactError
from tests.support.artifacts import DATA, SEGMENTATION

GRAPH = DATA / f"{SEGMENTATION}.onnx"


def spec(session: Session) -> Spec:
    return parse_spec(session.metadata["spec"], "spec")


def feeds(session: Session, count: int = 2) -> dict[str, np.ndarray]:
    tensor = spec(session).inputs[0]
    shape = [count if isinstance(axis, str) else axis for axis in tensor.shape]
    return {tensor.name: np.random.default_rng(0).integers(0, 256, shape).astype(tensor.dtype)}


def test_outputs_are_returned_in_the_requested_order() -> None:
    session = Session(GRAPH, SessionOptions(threads=1))
    names = [tensor.name for tensor in spec(session).outputs]
    assert len(names) == 2
    outputs = session.run(feeds(session))
    assert list(outputs) == names
    reverse = session.run(feeds(session), names[::-1])
    assert list(reverse) == names[::-1]
    np.testing.assert_array_equal(reverse[names[1]], outputs[names[1]])
    assert list(session.run(feeds(session), names[1:])) == names[1:]


def test_the_number_of_threads_changes_no_output() -> None:
    first, second = (Session(GRAPH, SessionOptions(threads=threads)) for threads in (1, 2))
    one, two = first.run(feeds(first)), second.run(feeds(second))
    for name, array in one.items():
        np.testing.assert_array_equal(two[name], array)


def test_one_session_serves_several_threads_at_once() -> None:
    session = Session(GRAPH, SessionOptions(threads=1))
    inputs = [feeds(session, count) for count in (1, 2, 3, 4)] * 8
    expected = [session.run(one) for one in inputs]
    with ThreadPoolExecutor(4) as pool:
        outputs = list(pool.map(session.run, inputs))
    for alone, concurrent in zip(expected, outputs, strict=True):
        for name in alone:
            np.testing.assert_array_equal(alone[name], concurrent[name])


def test_the_optimised_graph_is_written_on_request(tmp_path: Path) -> None:
    Session(GRAPH, SessionOptions(threads=1, optimized_path=tmp_path / "optimized.onnx"))
    assert (tmp_path / "optimized.onnx").stat().st_size > 0


@pytest.mark.parametrize("content", [b"", b"no graph", GRAPH.read_bytes()[:-40]])
def test_damaged_files_are_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"broken\.onnx is refused by onnxruntime"):
        Session(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"nowhere\.onnx is refused by onnxruntime"):
        Session(tmp_path / "nowhere.onnx")
