"""Turns alternate, so that no server always follows the same one."""

from typing import Any, cast

import pytest

from benchmarks.peers import measure
from benchmarks.peers.measure import Effort, Start, Turns
from benchmarks.serving.bare_loop import Work


def test_every_second_round_is_in_reverse_order_and_a_failed_server_stays_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []

    def take_turn(start: Any, effort: Effort, turns: Turns) -> None:
        order.append(start)
        turns.error = "wrong" if start == "B" else ""

    monkeypatch.setattr(measure, "take_turn", take_turn)
    starts = {name: cast(Start, name) for name in "ABC"}
    effort = Effort(3, 1.0, (1,), 1.0)
    turns, loops = measure.measure(starts, lambda _: Work(1, 1.0, 1.0), effort)
    assert order == ["A", "B", "C", "C", "A", "A", "C"]
    assert len(loops) == 3
    assert turns["B"].error == "wrong"
