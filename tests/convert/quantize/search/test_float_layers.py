"""The search for layers that stay in float, on networks whose loss a formula gives."""

from collections.abc import Callable

import pytest

from convert.metrics import Fidelity
from convert.quantize.quantizer import QuantizationConfig
from convert.quantize.search.float_layers import BLOCKS, Budget, Measurement, Search, Trial
from convert.quantize.search.layer_groups import LayerGroup
from convert.recipe import Tolerance, tighten

COUNT = 40
GROUPS = tuple(LayerGroup((f"conv{i}", f"relu{i}"), 1 / COUNT, 1 / COUNT) for i in range(COUNT))
CONFIG = QuantizationConfig(("Conv", "Relu"))
TOLERANCE = Tolerance(at_most={"mae": 0.5})

Evaluate = Callable[[QuantizationConfig], Measurement]


def measurement(loss: float) -> Measurement:
    return Measurement(Fidelity({"mae": loss}, loss), 1.0, 1)


def integer_layers(config: QuantizationConfig) -> set[int]:
    return {i for i in range(COUNT) if f"conv{i}" not in config.float_nodes}


def float_layers(trial: Trial) -> set[int]:
    names = trial.config.float_nodes
    return {int(name.removeprefix("conv")) for name in names if name.startswith("conv")}


def bad_layers(*indices: int) -> Evaluate:
    """Return a loss of 1 for each of these layers in integer, and of 0.001 for every layer."""

    def evaluate(config: QuantizationConfig) -> Measurement:
        integer = integer_layers(config)
        return measurement(len(integer & {*indices}) + 0.001 * len(integer))

    return evaluate


def one_bad_layer(*, loss: float, other_losses: float) -> Evaluate:
    """Return a loss of its own for layer 3 in integer, and another for every layer."""

    def evaluate(config: QuantizationConfig) -> Measurement:
        integer = integer_layers(config)
        return measurement(loss * (3 in integer) + other_losses * len(integer))

    return evaluate


def new_search(evaluate: Evaluate, *, graphs: int = 60) -> Search:
    return Search(evaluate, groups=GROUPS, tolerance=TOLERANCE, budget=Budget(graphs))


def search_with(evaluate: Evaluate) -> Trial:
    trial = new_search(evaluate).find_float_layers(CONFIG)
    assert trial is not None
    return trial


def test_a_graph_with_evenly_spread_loss_stays_integer() -> None:
    search = new_search(bad_layers())
    trial = search.find_float_layers(CONFIG)
    assert trial is not None
    assert trial.config.float_nodes == frozenset()
    assert len(search.trials) == 1 + BLOCKS  # no block was bisected


def test_without_a_tolerance_only_the_whole_graph_is_measured() -> None:
    search = Search(bad_layers(7), groups=GROUPS, tolerance=Tolerance(), budget=Budget(60))
    trial = search.find_float_layers(CONFIG)
    assert trial is not None
    assert trial.config.float_nodes == frozenset()
    assert len(search.trials) == 1


@pytest.mark.parametrize("bad", [(7,), (7, 8), (3, 30), (0, 39), (4, 5, 21)])
def test_bad_layers_and_few_others_stay_in_float(bad: tuple[int, ...]) -> None:
    search = new_search(bad_layers(*bad))
    trial = search.find_float_layers(CONFIG)
    assert trial is not None
    assert trial.qualifies
    assert float_layers(trial) >= {*bad}
    assert len(float_layers(trial)) <= len(bad) + 2
    assert len(search.trials) <= 60


def test_no_trial_qualifies_where_every_layer_is_bad() -> None:
    search = new_search(bad_layers(*range(COUNT)))
    assert search.find_float_layers(CONFIG) is None
    losses = [trial.fidelity.loss for trial in search.trials]
    assert [trial.fidelity.loss for trial in search.trials_like(CONFIG)] == sorted(losses)
    assert search.trials_like(QuantizationConfig(("Conv",))) == []


def test_a_bad_tensor_between_two_layers_needs_both_in_float() -> None:
    def evaluate(config: QuantizationConfig) -> Measurement:
        return measurement(0.0 if {"conv9", "conv10"} <= config.float_nodes else 1.0)

    trial = new_search(evaluate, graphs=30).find_float_layers(CONFIG)
    assert trial is not None
    assert float_layers(trial) == {9, 10}


def test_a_margin_is_kept_where_few_layers_in_float_give_it() -> None:
    trial = search_with(one_bad_layer(loss=0.4, other_losses=0.001))
    assert 3 in float_layers(trial)
    assert len(float_layers(trial)) <= 2  # a twentieth of the network
    # 0.44 in all: half of the tolerance would take half of the network
    trial = search_with(one_bad_layer(loss=0.0, other_losses=0.011))
    assert trial.config.float_nodes == frozenset()


@pytest.mark.parametrize(("loss", "in_float"), [(0.2, {3}), (0.009, set[int]())])
def test_a_layer_with_much_of_the_loss_moves_to_float_inside_the_margin_too(
    loss: float, in_float: set[int]
) -> None:
    trial = search_with(one_bad_layer(loss=loss, other_losses=0.001))
    assert float_layers(trial) >= in_float
    assert len(float_layers(trial)) <= 2 * len(in_float)


def test_activations_that_need_not_be_float_return_to_integer() -> None:
    trial = search_with(bad_layers(7))
    assert "conv7" in trial.config.float_nodes
    assert "relu7" not in trial.config.float_nodes


def test_half_of_a_tolerance_is_half_as_far_from_equal_answers() -> None:
    half = tighten(Tolerance(at_least={"iou_mean": 0.98}, at_most={"mae": 0.006}))
    assert half.at_least["iou_mean"] == pytest.approx(0.99)
    assert half.at_most["mae"] == pytest.approx(0.003)
    assert tighten(Tolerance(at_most={"mae": -1})).violations({"mae": 0})


def test_blocks_of_less_work_are_tried_first() -> None:
    groups = tuple(
        LayerGroup((f"conv{i}", f"relu{i}"), 0.5 if i == 0 else 0.5 / COUNT, 1 / COUNT)
        for i in range(COUNT)
    )
    tolerance = Tolerance(at_most={"mae": 1.5})  # one of the two bad layers may be integer
    search = Search(bad_layers(0, 30), groups=groups, tolerance=tolerance, budget=Budget(40))
    trial = search.find_float_layers(CONFIG)
    assert trial is not None
    assert float_layers(trial) == {30}  # layer 0 is half of the work


def test_no_graph_is_begun_after_the_time() -> None:
    seconds = iter(range(1000))
    search = Search(
        bad_layers(3, 30),
        groups=GROUPS,
        tolerance=TOLERANCE,
        budget=Budget(60, seconds=5),
        clock=lambda: float(next(seconds)),
    )
    assert search.find_float_layers(CONFIG) is None
    assert len(search.trials) <= 5


@pytest.mark.parametrize("graphs", [1, 5, 9, 12, 20])
def test_the_budget_of_graphs_is_kept(graphs: int) -> None:
    search = new_search(bad_layers(3, 30), graphs=graphs)
    trial = search.find_float_layers(CONFIG)
    # the final configuration may be measured over budget, to be returned
    assert len(search.trials) <= graphs + 1
    assert trial is None or trial.qualifies


def test_a_configuration_is_measured_once() -> None:
    configs: list[QuantizationConfig] = []

    def evaluate(config: QuantizationConfig) -> Measurement:
        configs.append(config)
        return bad_layers(7)(config)

    search = new_search(evaluate)
    trial = search.find_float_layers(CONFIG)
    assert trial is not None
    search.measure(trial.config)
    assert len(configs) == len(set(configs)) == len(search.trials)


def test_nan_never_qualifies() -> None:
    fidelity = Fidelity({"mae": float("nan")}, float("inf"))
    search = new_search(lambda config: Measurement(fidelity, 1.0, 1))
    assert search.find_float_layers(CONFIG) is None
