"""Sessions: outputs by name, threads, and files that onnxruntime refuses."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from runtime.artifact.manifest import Spec, parse_spec
from runtime.engine.cancellation import Cancellation
from runtime.engine.session import Feeds, Session, SessionOptions
from runtime.errors import ArtifactError, CancelledError
from tests.support.artifacts import DATA, SEGMENTATION, SLOW

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


def test_a_bound_session_answers_as_the_session_does() -> None:
    session = Session(GRAPH, SessionOptions(threads=1))
    inputs, entered = feeds(session), list[str]()

    @contextmanager
    def around(feeds: Feeds) -> Iterator[None]:
        entered.append("begin")
        yield
        entered.append("end")

    bound = session.bound(Cancellation(), around)
    for name, array in session.run(inputs).items():
        np.testing.assert_array_equal(bound.run(inputs)[name], array)
    assert entered == ["begin", "end"] * 2
    assert bound.metadata == session.metadata


class Watched(Cancellation):
    """A cancellation that tells when a run can be stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = threading.Event()

    @contextmanager
    def stopping(self, stop: Callable[[], None]) -> Iterator[None]:
        with super().stopping(stop):
            self.runs.set()
            yield


def test_a_run_ends_when_its_work_is_cancelled_and_others_go_on() -> None:
    session = Session(DATA / f"{SLOW}.onnx", SessionOptions(threads=1))
    bright, dark = ({"image": np.full((1, 8, 8, 1), level, np.uint8)} for level in (255, 0))
    cancellation = Watched()
    bound = session.bound(cancellation)
    with ThreadPoolExecutor(1) as threads:
        outcome = threads.submit(bound.run, bright)  # takes about a second
        assert cancellation.runs.wait(10)
        cancellation.cancel()
        with pytest.raises(CancelledError):
            outcome.result(timeout=30)
    with pytest.raises(CancelledError):
        bound.run(dark)
    assert session.bound(Cancellation()).run(dark).keys() == session.run(dark).keys()


class Unheard(Cancellation):
    """A cancellation during a run that goes on to its end, as those of OpenVINO do."""

    @contextmanager
    def stopping(self, stop: Callable[[], None]) -> Iterator[None]:
        yield
        self.cancel()


def test_a_run_that_could_not_be_stopped_gives_no_answer() -> None:
    session = Session(GRAPH, SessionOptions(threads=1))
    with pytest.raises(CancelledError):
        session.bound(Unheard()).run(feeds(session))


def test_an_error_of_a_run_that_was_not_cancelled_stays() -> None:
    session = Session(GRAPH, SessionOptions(threads=1)).bound(Cancellation())
    with pytest.raises(Exception, match="nothing_like_this") as error:
        session.run({"nothing_like_this": np.zeros(1, np.float32)})
    assert not isinstance(error.value, CancelledError)


def test_the_first_run_is_timed_once() -> None:
    session = Session(GRAPH, SessionOptions(threads=1))
    assert session.first_run_s is None
    session.run(feeds(session))
    first_s = session.first_run_s
    assert first_s is not None
    session.run(feeds(session))
    assert session.first_run_s == first_s
