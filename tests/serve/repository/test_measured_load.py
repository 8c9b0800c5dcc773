"""A load: room for it, its cost, and the free heap that its runs are worth."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runtime.engine.allocator import FREE_HEAP_BYTES
from serve.repository import measured_load
from serve.repository.measured_load import MeasuredLoad
from serve.repository.memory.budget import MIB, Limit
from serve.repository.memory.keeper import MemoryKeeper
from serve.repository.memory.ledger import Cost
from serve.repository.scan import Version

GIB = 2**30


def load_models(
    monkeypatch: pytest.MonkeyPatch, run_mib: Sequence[int], limit_bytes: int
) -> list[int]:
    """Load models whose runs take so much; return the free heap that is kept after each load."""
    kept: list[int] = []
    runs = iter(run_mib)

    def measured(load: Any) -> tuple[Any, Cost]:
        return load(), Cost(MIB, MIB, MIB, next(runs) * MIB, 1, 0.1, alone=True)

    monkeypatch.setattr(measured_load, "measured", measured)
    monkeypatch.setattr(measured_load, "keep_free_heap", kept.append)
    limit = Limit("a test", limit_bytes, lambda: 0)
    load = MeasuredLoad(cast(Any, lambda version: object()), MemoryKeeper([limit]))
    file = SimpleNamespace(size_bytes=1)
    for number, _ in enumerate(run_mib):
        variant = SimpleNamespace(files=(file,))
        manifest = SimpleNamespace(id=f"model_{number}", version=1, variants=(variant,))
        load(cast(Version, SimpleNamespace(manifest=manifest, directory=Path())))
    return kept


def test_the_heap_keeps_what_the_largest_run_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = load_models(monkeypatch, [10, 300, 20], 8 * GIB)
    assert kept == [FREE_HEAP_BYTES, 375 * MIB, 375 * MIB]


def test_a_small_container_keeps_little(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_models(monkeypatch, [10, 300], 512 * MIB) == [FREE_HEAP_BYTES] * 2
