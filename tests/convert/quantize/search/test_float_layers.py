from collections.abc import Callable

import pytest

from convert.metrics import Fidelity
from convert.quantize.quantizer import Setting
from convert.quantize.search.float_layers import BLOCKS, Budget, Measured, Search
from convert.quantize.search.layer_groups import Unit
from convert.recipe import Tolerance, tighten

COUNT = 40
UNITS = tuple(Unit((f"conv{i}", f"relu{i}"), 1 / COUNT, 1 / COUNT) for i in range(COUNT))
SETTING = Setting(("Conv", "Relu"))
TOLERANCE = Tolerance(at_most={"mae": 0.5})
TOLERANCE_OF_ONE = Tolerance(at_most={"mae": 1.5})


def harmed_by(*bad: int) -> Callable[[Setting], Measured]:
    """Every unit costs a little in integer, the bad ones one each, activations nothing."""

    def evaluate(setting: Setting) -> Measured:
        integer = {i for i in range(COUNT) if f"conv{i}" not in setting.float_nodes}
        harm = len(integer & {*bad}) + 0.001 * len(integer)
        return Measured(Fidelity({"mae": harm}, harm), 1.0, 1)

    return evaluate


def search(evaluate: Callable[[Setting], Measured], *, budget: int = 60) -> Search:
    return Search(evaluate, units=UNITS, tolerance=TOLERANCE, budget=Budget(budget))


def float_layers(setting: Setting) -> set[int]:
    return {int(name[4:]) for name in setting.float_nodes if name.startswith("conv")}


def test_graph_whose_loss_is_everywhere_alike_stays_whole() -> None:
    tried = search(harmed_by())
    found = tried.run(SETTING)
    assert found is not None
    assert found.setting.float_nodes == frozenset()
    assert len(tried.trials) == 1 + BLOCKS  # and none of them in halves


def test_graph_that_nothing_judges_is_taken_at_once() -> None:
    tried = Search(harmed_by(7), units=UNITS, tolerance=Tolerance(), budget=Budget(60))
    found = tried.run(SETTING)
    assert found is not None
    assert found.setting.float_nodes == frozenset()
    assert len(tried.trials) == 1


@pytest.mark.parametrize("bad", [(7,), (7, 8), (3, 30), (0, 39), (4, 5, 21)])
def test_bad_units_and_few_others_stay_in_float(bad: tuple[int, ...]) -> None:
    tried = search(harmed_by(*bad))
    found = tried.run(SETTING)
    assert found is not None
    assert found.qualifies
    assert float_layers(found.setting) >= {*bad}
    assert len(float_layers(found.setting)) <= len(bad) + 2
    assert len(tried.trials) <= 60


def test_nothing_qualifies_where_everything_harms() -> None:
    tried = search(harmed_by(*range(COUNT)))
    assert tried.run(SETTING) is None
    losses = [trial.fidelity.loss for trial in tried.trials]
    assert [trial.fidelity.loss for trial in tried.like(SETTING)] == sorted(losses)
    assert tried.like(Setting(("Conv",))) == []


def test_what_lies_between_two_units_is_repaired_by_both() -> None:
    def evaluate(setting: Setting) -> Measured:
        harm = 0.0 if {"conv9", "conv10"} <= setting.float_nodes else 1.0
        return Measured(Fidelity({"mae": harm}, harm), 1.0, 1)

    tried = search(evaluate, budget=30)
    found = tried.run(SETTING)
    assert found is not None
    assert float_layers(found.setting) == {9, 10}


def costing(*, alone: float, each: float) -> Callable[[Setting], Measured]:
    """Unit 3 costs `alone` in integer, every unit `each`."""

    def evaluate(setting: Setting) -> Measured:
        integer = {i for i in range(COUNT) if f"conv{i}" not in setting.float_nodes}
        harm = alone * (3 in integer) + each * len(integer)
        return Measured(Fidelity({"mae": harm}, harm), 1.0, 1)

    return evaluate


def test_what_just_keeps_the_tolerance_is_made_safer_where_little_is_enough() -> None:
    found = search(costing(alone=0.4, each=0.001)).run(SETTING)
    assert found is not None
    assert 3 in float_layers(found.setting)
    assert len(float_layers(found.setting)) <= 2  # a twentieth of the network
    tried = search(costing(alone=0.0, each=0.011))  # 0.44, and half of it is half of the network
    found = tried.run(SETTING)
    assert found is not None
    assert found.setting.float_nodes == frozenset()


@pytest.mark.parametrize(("alone", "kept"), [(0.2, {3}), (0.009, set[int]())])
def test_what_is_safe_is_made_better_where_little_is_much_of_its_loss(
    alone: float, kept: set[int]
) -> None:
    found = search(costing(alone=alone, each=0.001)).run(SETTING)
    assert found is not None
    assert float_layers(found.setting) >= kept
    assert len(float_layers(found.setting)) <= 2 * len(kept)


def test_half_of_a_tolerance_is_half_as_far_from_equal() -> None:
    halved = tighten(Tolerance(at_least={"iou_mean": 0.98}, at_most={"mae": 0.006}))
    assert halved.at_least["iou_mean"] == pytest.approx(0.99)
    assert halved.at_most["mae"] == pytest.approx(0.003)
    assert tighten(Tolerance(at_most={"mae": -1})).violations({"mae": 0})


def test_blocks_that_cost_less_are_tried_first() -> None:
    units = tuple(
        Unit((f"conv{i}", f"relu{i}"), 0.5 if i == 0 else 0.5 / COUNT, 1 / COUNT)
        for i in range(COUNT)
    )
    tried = Search(harmed_by(0, 30), units=units, tolerance=TOLERANCE_OF_ONE, budget=Budget(40))
    found = tried.run(SETTING)
    assert found is not None
    assert float_layers(found.setting) == {30}  # the other one is half of the work


def test_no_graph_is_begun_after_the_time() -> None:
    seconds = iter(range(1000))
    tried = Search(
        harmed_by(3, 30),
        units=UNITS,
        tolerance=TOLERANCE,
        budget=Budget(60, seconds=5),
        clock=lambda: float(next(seconds)),
    )
    assert tried.run(SETTING) is None
    assert len(tried.trials) <= 5


@pytest.mark.parametrize("budget", [1, 5, 9, 12, 20])
def test_budget_is_kept(budget: int) -> None:
    tried = search(harmed_by(3, 30), budget=budget)
    found = tried.run(SETTING)
    # the last settings agreed on are measured once more at most, to be returned
    assert len(tried.trials) <= budget + 1
    assert found is None or found.qualifies


def test_a_setting_is_measured_once() -> None:
    calls: list[Setting] = []

    def evaluate(setting: Setting) -> Measured:
        calls.append(setting)
        return harmed_by(7)(setting)

    tried = search(evaluate)
    found = tried.run(SETTING)
    assert found is not None
    tried.measure(found.setting)
    assert len(calls) == len(set(calls)) == len(tried.trials)


def test_not_a_number_never_qualifies() -> None:
    broken = search(lambda setting: Measured(Fidelity({"mae": float("nan")}, float("inf")), 1.0, 1))
    assert broken.run(SETTING) is None
