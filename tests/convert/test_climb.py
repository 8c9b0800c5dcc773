"""What a rung does about its weights once its layers are chosen."""

from types import SimpleNamespace
from typing import Any

import pytest

from convert.climb import climb
from convert.fidelity import Fidelity
from convert.quantize import Setting
from convert.recipe import Tolerance
from convert.search import Budget, Measured, Search
from convert.units import Unit

UNITS = (Unit(("conv",), 1.0, 1.0),)
QUANTIZER: Any = SimpleNamespace(product_share=0.0, equalises=False)


def found(losses: dict[bool, float]) -> Setting:
    """What serves, where these are the losses without and with such weights."""

    def evaluate(setting: Setting) -> Measured:
        loss = losses[setting.reduce_range]
        return Measured(Fidelity({"mae": loss}, loss), 1.0, 1)

    tolerance = Tolerance(at_most={"mae": 1.0})
    search = Search(evaluate, units=UNITS, tolerance=tolerance, budget=Budget(20))
    return climb(search, QUANTIZER, effort="default")[0].trials[0].setting


@pytest.mark.parametrize(("with_them", "taken"), [(0.09, True), (0.1, True), (0.101, False)])
def test_one_file_for_every_cpu_where_it_loses_nothing(with_them: float, taken: bool) -> None:
    assert found({False: 0.1, True: with_them}).reduce_range is taken


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
