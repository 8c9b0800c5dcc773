"""Weights of which no pair of products saturates: taken where they lose nothing."""

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
