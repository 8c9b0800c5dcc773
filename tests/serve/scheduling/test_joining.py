"""The models whose runs requests share, and the memory that a shared run may take."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from runtime import Model, load
from runtime.artifact.manifest import BATCH_MILLISECONDS
from runtime.engine.session import Session
from serve.repository.memory.keeper import BATCH_BYTES, MemoryKeeper
from serve.repository.memory.ledger import Cost
from serve.scheduling.batches import LONGEST_RUN_MS, Batching
from serve.scheduling.call import Call
from serve.settings.command_line import parse_arguments
from tests.support.artifacts import CLASSIFIER, record_batch_times, write_artifact

PAYS = {1: 10.0, 2: 11.0, 4: 12.0, 8: 13.0}


@pytest.fixture
def model(tmp_path: Path) -> Model:
    directory = write_artifact(tmp_path, CLASSIFIER)
    record_batch_times(directory, PAYS)
    return load(directory)


def shares(model: Model, most_rows: int = 8) -> bool:
    """Return whether a request may share the runs of a model."""
    call = Call(batches=Batching(most_rows).start(8))
    return call.bind(model).session._runner is not None


def with_times(model: Model, times_ms: dict[int, float]) -> Model:
    verification = {BATCH_MILLISECONDS: {str(rows): ms for rows, ms in times_ms.items()}}
    return replace(model, variant=replace(model.variant, verification=verification))


@pytest.mark.parametrize(
    ("change", "shared"),
    [
        (lambda model: model, True),
        (lambda model: with_times(model, {}), False),
        (lambda model: with_times(model, {1: 10.0, 2: 19.0}), False),
        (lambda model: with_times(model, {1: 190.0, 2: LONGEST_RUN_MS}), True),
        (lambda model: with_times(model, {1: 190.0, 2: LONGEST_RUN_MS + 1}), False),
        (
            lambda model: replace(model, variant=replace(model.variant, batch_invariant=False)),
            False,
        ),
        (lambda model: replace(model, session=on_a_gpu(model)), False),
    ],
)
def test_only_runs_that_pay_are_shared(
    model: Model, change: Callable[[Model], Model], shared: bool
) -> None:
    assert shares(change(model)) is shared


def on_a_gpu(model: Model) -> Session:
    session = model.session.run_by(lambda feeds, names: {})
    session._runner, session.provider = None, "cuda"
    return session


def test_a_batch_of_one_row_is_none(model: Model) -> None:
    assert not shares(model, most_rows=1)
    assert Call().bind(model).session._runner is None


def test_the_option_of_the_command_line_has_two_names() -> None:
    for option in ("--batch-size", "--max-batch"):
        assert parse_arguments([option, "4"]).overrides == {"SLIPWAY_MAX_BATCH": "4"}


def test_a_shared_run_takes_the_memory_that_a_batch_may_take() -> None:
    keeper = MemoryKeeper()
    assert keeper.batch_rows("model", 1000) is None  # never measured
    run_bytes = BATCH_BYTES // 5
    cost = Cost(0, 0, 0, run_bytes, feed_bytes=1000, seconds=0.1, alone=True)
    keeper.ledger.record("model", cost)
    assert keeper.batch_rows("model", 1000) == 5
    assert keeper.batch_rows("model", 2500) == 2  # larger inputs take more
    assert keeper.batch_rows("model", 10**9) == 1
