"""The trials of an operator set that are worth a test on samples the search has not seen."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from convert.metrics import Fidelity
from convert.quantize.learn.errors import LearningError
from convert.quantize.quantizer import QuantizationConfig
from convert.quantize.search.candidates import (
    Effort,
    budget_for,
    find_candidates,
)
from convert.quantize.search.float_layers import Budget, Measurement, Search, Trial
from convert.quantize.search.layer_groups import LayerGroup
from convert.recipe import Tolerance

NOTHING: frozenset[str] = frozenset()


def quantizer_of(
    *,
    matmul_share: float = 0.0,
    tail: frozenset[str] = NOTHING,
    has_joins: bool = False,
) -> Any:
    """Return what stands for a quantizer."""
    return SimpleNamespace(
        matmul_share=matmul_share,
        has_layer_pairs=False,
        has_joins=has_joins,
        small_tail=tail,
    )


QUANTIZER = quantizer_of()
TRANSFORMER = quantizer_of(matmul_share=1.0)
GROUPS = tuple(LayerGroup((f"conv{i}",), 0.1, 0.1) for i in range(10))

Evaluate = Callable[[QuantizationConfig], Measurement]


@pytest.mark.parametrize(
    ("effort", "graphs", "seconds"),
    [("quick", 10, 20), ("default", 30, 60), ("thorough", 300, 3600)],
)
def test_budget_of_each_effort(effort: Effort, graphs: int, seconds: float) -> None:
    assert budget_for(effort, 60) == Budget(graphs, seconds)
    assert budget_for("quick", 5).seconds == 5  # a recipe may allow less


def first_trials(evaluate: Evaluate, *, largest_mae: float) -> tuple[Trial, ...]:
    """Search with a stand-in for measuring; return the trials of the first operator set."""
    tolerance = Tolerance(at_most={"mae": largest_mae})
    search = Search(evaluate, groups=GROUPS, tolerance=tolerance, budget=Budget(60))
    return find_candidates(search, QUANTIZER, effort="default")[0].trials


def measurement(loss: float, size_bytes: int = 1) -> Measurement:
    return Measurement(Fidelity({"mae": loss}, loss), 1.0, size_bytes)


@pytest.mark.parametrize(
    ("reduced_loss", "is_reduced"), [(0.09, True), (0.1, True), (0.101, False)]
)
def test_weights_that_never_saturate_are_used_where_they_lose_nothing(
    reduced_loss: float, is_reduced: bool
) -> None:
    def evaluate(config: QuantizationConfig) -> Measurement:
        return measurement(reduced_loss if config.reduce_range else 0.1)

    best = first_trials(evaluate, largest_mae=1.0)[0]
    assert best.config.reduce_range is is_reduced


def test_reduced_ranges_are_compared_with_the_same_layers_in_float() -> None:
    """Layer 3 in float matters more than the weights: without it every graph loses 2."""

    def evaluate(config: QuantizationConfig) -> Measurement:
        if "conv3" not in config.float_nodes:
            return measurement(2.0)
        return measurement(0.15 if config.reduce_range else 0.1)

    best = first_trials(evaluate, largest_mae=1.0)[0]
    assert "conv3" in best.config.float_nodes
    assert not best.config.reduce_range


@pytest.mark.parametrize(
    ("loss", "size_bytes", "is_stored"),
    [
        (0.2, 80, True),
        (0.2, 96, False),  # too little smaller than 100 bytes
        (0.3, 80, False),  # more than half of the tolerance, which float weights keep
    ],
)
def test_float_layers_are_stored_in_8_bits_where_that_is_worth_its_error(
    loss: float, size_bytes: int, is_stored: bool
) -> None:
    def evaluate(config: QuantizationConfig) -> Measurement:
        if config.weight_only_int8:
            return measurement(loss, size_bytes)
        return measurement(0.1 if config.float_nodes else 1.0, 100)

    trials = first_trials(evaluate, largest_mae=0.5)
    assert trials[0].config.weight_only_int8 is is_stored
    # one with float weights remains, in case the first fails on unseen samples
    assert any(not trial.config.weight_only_int8 for trial in trials)


@pytest.mark.parametrize(
    ("largest_mae", "modes"),
    [
        (1.0, {"static_weight", "mixed", "nbits", "dynamic"}),  # all keep half of it
        (0.5, {"mixed", "nbits"}),
        (0.35, {"nbits"}),
        (0.19, {"nbits"}),  # the others break it
        (0.09, {"static_weight", "mixed", "nbits", "dynamic"}),  # all break it
    ],
)
def test_sets_of_transformers_with_a_margin_are_preferred(
    largest_mae: float, modes: set[str]
) -> None:
    losses = {"static_weight": 0.3, "dynamic": 0.3, "mixed": 0.2, "nbits": 0.1}
    tolerance = Tolerance(at_most={"mae": largest_mae})

    def evaluate(config: QuantizationConfig) -> Measurement:
        return measurement(losses[config.matmul_mode])

    search = Search(evaluate, groups=GROUPS, tolerance=tolerance, budget=Budget(60))
    results = find_candidates(search, TRANSFORMER, effort="default")
    assert {result.trials[-1].config.matmul_mode for result in results} == modes


def test_ranges_of_smoothed_channels_clip_nothing() -> None:
    tried = []

    def evaluate(config: QuantizationConfig) -> Measurement:
        tried.append(config)
        return measurement(0.1 if config.smoothing else 0.3)

    search = Search(evaluate, groups=GROUPS, tolerance=Tolerance(), budget=Budget(60))
    find_candidates(search, TRANSFORMER, effort="default")
    assert {config.ranges for config in tried if config.smoothing} == {"minmax"}
    assert any(config.smoothing for config in tried)


def test_without_a_margin_sets_of_twice_the_loss_yield() -> None:
    losses = {"static_weight": 0.3, "dynamic": 0.3, "mixed": 0.19, "nbits": 0.1}

    def evaluate(config: QuantizationConfig) -> Measurement:
        return Measurement(Fidelity({"mae": 0.3}, losses[config.matmul_mode]), 1.0, 1)

    search = Search(
        evaluate,
        groups=GROUPS,
        tolerance=Tolerance(at_most={"mae": 0.4}),
        budget=Budget(60),
    )
    results = find_candidates(search, TRANSFORMER, effort="default")
    assert {result.trials[-1].config.matmul_mode for result in results} == {"nbits", "mixed"}


@pytest.mark.parametrize("gain", [0.0, 0.1])
def test_a_small_tail_is_in_float_in_every_set_where_it_lowers_the_loss(gain: float) -> None:
    tail = frozenset({"conv8", "conv9"})

    def evaluate(config: QuantizationConfig) -> Measurement:
        return measurement(0.2 - gain * (tail <= config.float_nodes))

    search = Search(evaluate, groups=GROUPS, tolerance=Tolerance(), budget=Budget(60))
    results = find_candidates(search, quantizer_of(tail=tail), effort="default")
    chosen = {result.trials[0].config.float_nodes for result in results}
    assert chosen == {tail if gain else frozenset()}


class Learning:
    """A stand-in for a quantizer that learns, or cannot."""

    matmul_share, has_layer_pairs, has_joins = 0.0, False, False
    small_tail = frozenset[str]()

    def __init__(self, error: LearningError | None = None) -> None:
        self.error = error
        self.configs: list[QuantizationConfig] = []

    def learn(self, config: QuantizationConfig, observe: Callable[[str], None]) -> None:
        self.configs.append(config)
        observe("learning")
        if self.error is not None:
            raise self.error


def thorough(quantizer: Any, loss: float) -> tuple[list[bool], list[str]]:
    """Return whether the best trial of each set is a learned one, and what was observed.

    Args:
        quantizer: of the search.
        loss: of what was learned; 0.1 without.
    """

    def evaluate(config: QuantizationConfig) -> Measurement:
        return measurement(loss if config.learned else 0.1)

    tolerance = Tolerance(at_most={"mae": 1.0})
    search = Search(evaluate, groups=GROUPS, tolerance=tolerance, budget=Budget(60))
    states: list[str] = []
    results = find_candidates(search, quantizer, effort="thorough", observe=states.append)
    return [result.trials[0].config.learned for result in results], states


@pytest.mark.parametrize(
    ("loss", "pays"),
    [(0.05, True), (0.094, True), (0.096, False), (0.2, False)],  # a twentieth better
)
def test_what_was_learned_is_used_where_it_pays(loss: float, pays: bool) -> None:
    quantizer = Learning()
    learned, states = thorough(quantizer, loss)
    assert learned == [pays] * 2
    assert states == ["learning", f"learned layers, loss 0.1000 to {loss:.4f}"]
    assert [config.learned for config in quantizer.configs] == [False]


def test_the_search_goes_on_where_nothing_can_be_learned() -> None:
    learned, states = thorough(Learning(LearningError("LRN")), 0.0)
    assert learned == [False, False]
    assert states[-1] == "nothing learned: LRN"


def test_other_efforts_learn_nothing() -> None:
    quantizer: Any = Learning()
    search = Search(
        lambda config: measurement(0.1),
        groups=GROUPS,
        tolerance=Tolerance(at_most={"mae": 1.0}),
        budget=Budget(60),
    )
    find_candidates(search, quantizer, effort="default")
    assert not quantizer.configs


def test_nothing_is_refined_where_nothing_is_lost() -> None:
    search = Search(
        lambda config: measurement(0.0),
        groups=GROUPS,
        tolerance=Tolerance(),
        budget=Budget(60),
    )
    quantizer = quantizer_of(tail=frozenset({"last"}))
    results = find_candidates(search, quantizer, effort="default")
    configs = [result.trials[0].config for result in results]
    assert {(c.ranges, c.bias_correction, c.float_nodes) for c in configs} == {
        ("minmax", False, frozenset())
    }


@pytest.mark.parametrize(
    ("loss", "has_media", "is_shared"),
    [(0.2, True, True), (0.19, True, True), (0.201, True, False), (0.1, False, False)],
)
def test_joins_share_a_range_where_media_lose_nothing_by_it(
    loss: float, has_media: bool, is_shared: bool
) -> None:
    def evaluate(config: QuantizationConfig) -> Measurement:
        return measurement(loss if config.shared_ranges else 0.2)

    search = Search(evaluate, groups=GROUPS, tolerance=Tolerance(), budget=Budget(60))
    quantizer = quantizer_of(has_joins=True)
    results = find_candidates(search, quantizer, effort="default", has_media=has_media)
    assert {result.trials[0].config.shared_ranges for result in results} == {is_shared}
