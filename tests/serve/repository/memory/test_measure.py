"""The cost of a load, measured on this process."""

import time
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from runtime import Model
from runtime.engine.memory import process_memory
from serve.repository.memory import measure
from serve.repository.memory.budget import MIB
from serve.repository.memory.measure import measured

pytestmark = pytest.mark.skipif(process_memory() is None, reason="this system does not tell")


def model_of(size_mib: int, *, transient_mib: int = 0) -> Any:
    """Return what stands for a model that keeps an array; to make it takes more for a moment."""
    transient = np.ones(transient_mib * MIB, np.uint8)
    time.sleep(0.1)  # the most is sampled
    del transient
    session = SimpleNamespace(first_run_s=0.0, first_feed_bytes=7)
    return SimpleNamespace(session=session, array=np.ones(size_mib * MIB, np.uint8))


@pytest.mark.parametrize("size_mib", [0, 40])
def test_what_a_model_keeps_and_what_it_takes_for_a_moment(size_mib: int) -> None:
    model, cost = measured(lambda: cast(Model, model_of(size_mib, transient_mib=80)))
    assert cost.kept_bytes / MIB == pytest.approx(size_mib, abs=4)
    assert cost.pss_bytes / MIB == pytest.approx(size_mib, abs=4)
    assert cost.load_peak_bytes >= cost.kept_bytes
    assert cost.load_peak_bytes / MIB >= 60  # sampled
    assert (cost.feed_bytes, cost.alone) == (7, True)
    del model


def test_a_peak_between_two_samples_is_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "SAMPLE_S", 60.0)  # nothing is sampled meanwhile
    model, cost = measured(lambda: cast(Model, model_of(10, transient_mib=80)))
    assert cost.load_peak_bytes / MIB == pytest.approx(80, abs=8)
    assert cost.run_peak_bytes / MIB == pytest.approx(70, abs=8)
    del model


def test_free_heap_does_not_hide_a_cost() -> None:
    blocks = [bytearray(60_000) for _ in range(400)]  # of the heap, and free before the load
    top = bytearray(60_000)
    del blocks

    def load() -> Model:
        model = model_of(0)
        model.blocks = [bytearray(60_000) for _ in range(400)]
        return cast(Model, model)

    model, cost = measured(load)
    assert cost.kept_bytes > 20 * MIB
    del model, top
