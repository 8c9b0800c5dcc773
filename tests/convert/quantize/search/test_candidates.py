"""What a rung does about its weights once its layers are chosen."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from convert.metrics import Fidelity
from convert.quantize.quantizer import Setting
from convert.quantize.search.candidates import climb
from convert.quantize.search.float_layers import Budget, Measured, Search
from convert.quantize.search.layer_groups import Unit
from convert.recipe import Tolerance

QUANTIZER: Any = SimpleNamespace(product_share=0.0, equalises=False)


def best_of(evaluate: Callable[[Setting], Measured]) -> Setting:
    """What serves of the first rung."""
    units = tuple(Unit((f"conv{i}",), 0.1, 0.1) for i in range(10))
    tolerance = Tolerance(at_most={"mae": 1.0})
    search = Search(evaluate, units=units, tolerance=tolerance, budget=Budget(60))
    return climb(search, QUANTIZER, effort="default")[0].trials[0].setting


def losing(loss: float) -> Measured:
    return Measured(Fidelity({"mae": loss}, loss), 1.0, 1)


@pytest.mark.parametrize(("with_them", "taken"), [(0.09, True), (0.1, True), (0.101, False)])
def test_one_file_for_every_cpu_where_it_loses_nothing(with_them: float, taken: bool) -> None:
    found = best_of(lambda setting: losing(with_them if setting.reduce_range else 0.1))
    assert found.reduce_range is taken


def test_that_it_loses_is_not_hidden_by_a_layer_that_goes_to_float() -> None:
    def evaluate(setting: Setting) -> Measured:
        if "conv3" not in setting.float_nodes:
            return losing(2.0)
        return losing(0.15 if setting.reduce_range else 0.1)

    found = best_of(evaluate)
    assert "conv3" in found.float_nodes
    assert not found.reduce_range


def sizes(*, loss: float, size: int) -> list[bool]:
    """Which of the trials found store weights; plain, with unit 0 in float, loses 0.1 in 100 B."""

    def evaluate(setting: Setting) -> Measured:
        whole = 1.0 if not setting.float_nodes else 0.1
        found, taken = (loss, size) if setting.stored else (whole, 100)
        return Measured(Fidelity({"mae": found}, found), 1.0, taken)

    units = tuple(Unit((f"conv{i}",), 0.1, 0.1) for i in range(10))
    tolerance = Tolerance(at_most={"mae": 0.5})
    search = Search(evaluate, units=units, tolerance=tolerance, budget=Budget(60))
    return [trial.setting.stored for trial in climb(search, QUANTIZER, effort="default")[0].trials]


@pytest.mark.parametrize(
    ("loss", "size", "taken"),
    [
        (0.2, 80, True),
        (0.2, 96, False),  # not worth it
        (0.3, 80, False),  # half of the tolerance was kept before
    ],
)
def test_float_layers_are_stored_rounded_where_that_keeps_what_was_found(
    loss: float, size: int, taken: bool
) -> None:
    found = sizes(loss=loss, size=size)
    assert found[0] is taken
    assert False in found  # what is there where inputs not seen refuse the first
