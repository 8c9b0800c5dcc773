import pytest

from runtime.engine.cancellation import Cancellation
from runtime.errors import CancelledError


def test_a_cancelled_block_is_stopped_once() -> None:
    cancellation, calls = Cancellation(), []
    with cancellation.stopping(lambda: calls.append("stop")):
        cancellation.cancel()
        cancellation.cancel()
    assert calls == ["stop"]


def test_a_block_that_ended_is_not_stopped() -> None:
    cancellation, calls = Cancellation(), []
    with cancellation.stopping(lambda: calls.append("stop")):
        pass
    cancellation.cancel()
    assert calls == []


def test_no_block_begins_after_the_cancellation() -> None:
    cancellation = Cancellation()
    cancellation.check()
    cancellation.cancel()
    assert cancellation.cancelled
    with pytest.raises(CancelledError):
        cancellation.check()
    with pytest.raises(CancelledError), cancellation.stopping(lambda: None):
        pytest.fail("the block ran")
