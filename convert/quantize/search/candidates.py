"""The configurations to try, in order, and the best of each set of operators."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from convert.quantize.layers import WEIGHTED
from convert.quantize.learn.errors import LearningError
from convert.quantize.quantizer import QuantizationConfig, Quantizer, all_op_types
from convert.quantize.search.float_layers import Budget, Search, Trial

Effort = Literal["quick", "default", "thorough"]

QUICK = Budget(graphs=10, seconds=20)
GRAPHS = 30  # measured at most by default
THOROUGH = Budget(graphs=300, seconds=3600)
RESERVED_GRAPHS = 4  # of the budget, for the operator sets after the first
# the names are in manifests, as `choice.operators`
OPERATOR_SETS: Mapping[str, QuantizationConfig] = {
    "all operators": QuantizationConfig(all_op_types()),
    "layers only": QuantizationConfig(WEIGHTED),
}
# For transformers. Between their matrix products are sums, norms and a softmax; in integer these
# cost more than they save, so all operators are not tried
TRANSFORMER_SETS: Mapping[str, QuantizationConfig] = {
    "layers of weights": QuantizationConfig(WEIGHTED, matmul_mode="static_weight"),
    "layers of weights, narrowing MatMul by blocks": QuantizationConfig(
        WEIGHTED, matmul_mode="mixed"
    ),
    "layers of weights, MatMul by blocks": QuantizationConfig(WEIGHTED, matmul_mode="nbits"),
    "layers of weights, dynamic MatMul": QuantizationConfig(WEIGHTED, matmul_mode="dynamic"),
}
SMALLER = 1.05  # factor by which a file must shrink to be worth a larger error
REFINEMENT_GAIN = 0.05  # share of the loss that a refinement must remove
MUCH_LOSS = 2.0  # factor by which the loss of one set of a transformer may exceed another's
TRANSFORMER_SHARE = 0.5  # share of MatMul in the multiplications above which a net is a transformer


def operator_set_name(config: QuantizationConfig) -> str:
    """Return the name of the operator set that a configuration belongs to."""
    sets = OPERATOR_SETS if config.matmul_mode == "static" else TRANSFORMER_SETS
    return next(
        name
        for name, plain in sets.items()
        if (plain.op_types, plain.matmul_mode) == (config.op_types, config.matmul_mode)
    )


@dataclass(frozen=True, slots=True)
class SetResult:
    """The trials of one operator set that are worth a test on samples the search has not seen."""

    name: str
    trials: tuple[Trial, ...]  # the best first; a later one serves where those before it fail
    graphs: int  # measured for this set


def budget_for(effort: Effort, seconds: float) -> Budget:
    """Return the budget of a whole search.

    Args:
        effort: "quick" and "thorough" have limits of their own.
        seconds: of the recipe, for the default effort; "quick" takes no more.
    """
    if effort == "thorough":
        return THOROUGH
    if effort == "quick":
        return replace(QUICK, seconds=min(QUICK.seconds, seconds))
    return Budget(GRAPHS, seconds)


def without_reserve(budget: Budget) -> Budget:
    """Return the part of a budget that the search for float layers may spend."""
    return replace(budget, graphs=budget.graphs - RESERVED_GRAPHS)


def find_candidates(
    search: Search,
    quantizer: Quantizer,
    *,
    effort: Effort,
    has_media: bool = True,
    observe: Callable[[str], None] = lambda state: None,
) -> list[SetResult]:
    """Search for the best configuration of each operator set.

    Args:
        search: without trials.
        quantizer: of the graph.
        effort: "thorough" learns rounding and biases, and searches for float layers in every set,
            not only in the first.
        has_media: whether media of the user calibrate, not generated samples alone.
        observe: receives what learning does, in words.
    """
    is_transformer = quantizer.matmul_share > TRANSFORMER_SHARE
    sets = TRANSFORMER_SETS if is_transformer else OPERATOR_SETS
    first = next(iter(sets.values()))
    changes = _find_refinements(search, first, _refinements(quantizer, first, has_media))
    if effort == "thorough":
        changes |= _learn(search, quantizer, replace(first, **changes), observe)
    sets = {name: replace(config, **changes) for name, config in sets.items()}
    trials = _measure_without_float_layers(sets, search) if is_transformer else {}
    if not any(trial.qualifies for trial in trials.values()):
        trials = dict(_search_float_layers(sets, search, effort))
    return [_set_result(name, sets[name], trial, search) for name, trial in trials.items()]


def _find_refinements(
    search: Search, config: QuantizationConfig, refinements: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Try refinements that cost no time at run, one after the other; keep those that pay.

    Returns:
        Fields of a configuration.
    """
    changes: dict[str, Any] = {}
    best = search.measure(config)
    for change in refinements:
        if search.exhausted:
            break
        if best.config.smoothing and "ranges" in change:
            continue  # they clip: MiniLM on other texts 0.985 or 0.993, unclipped 0.996
        trial = search.measure(replace(best.config, **change))
        if "shared_ranges" in change:  # it saves time, so it has to gain nothing
            pays = trial.fidelity.loss <= best.fidelity.loss
        else:
            pays = trial.fidelity.loss < best.fidelity.loss * (1 - REFINEMENT_GAIN)
        if pays:
            best, changes = trial, {**changes, **change}
    return changes


def _refinements(
    quantizer: Quantizer, config: QuantizationConfig, has_media: bool
) -> list[dict[str, Any]]:
    """Return the changes to try for a graph and the first of its operator sets, in order.

    Ranges are shared only where media calibrate: with those of drawings u2netp loses nothing on
    other drawings, and the masks of photos an IoU of 0.005 to 0.007.
    """
    refinements: list[dict[str, Any]] = [{"bias_correction": True}, {"ranges": "percentile"}]
    if quantizer.has_joins and has_media:
        refinements.insert(1, {"shared_ranges": True})
    if quantizer.small_tail:
        refinements.insert(0, {"float_nodes": quantizer.small_tail})
    if config.matmul_mode == "static_weight":
        refinements.insert(0, {"smoothing": True})
    if quantizer.has_layer_pairs:
        refinements.append({"cross_layer_equalization": True})
    refinements.append({"ranges": "entropy"})
    return refinements


def _learn(
    search: Search,
    quantizer: Quantizer,
    config: QuantizationConfig,
    observe: Callable[[str], None],
) -> dict[str, Any]:
    """Learn rounding and biases; keep them if that pays.

    Returns:
        Fields of a configuration.
    """
    before = search.measure(config)
    try:
        quantizer.learn(config, observe)
    except LearningError as error:
        observe(f"nothing learned: {error}")
        return {}
    after = search.measure(replace(config, learned=True))
    observe(f"learned layers, loss {before.fidelity.loss:.4f} to {after.fidelity.loss:.4f}")
    pays = after.fidelity.loss < before.fidelity.loss * (1 - REFINEMENT_GAIN)
    return {"learned": True} if pays else {}


def _measure_without_float_layers(
    sets: Mapping[str, QuantizationConfig], search: Search
) -> dict[str, Trial]:
    """Measure each set with all of its operators in integer; return those that are safe.

    For transformers a set that qualifies so is worth more than another with layers in float: that
    search takes minutes, leaves a third of MiniLM in float, and makes it no faster, or only by
    noise. Where sets keep half of the tolerance, the others are left out; where none does, those of
    more than MUCH_LOSS times the least loss are: with one range for each product MiniLM keeps its
    tolerance on synthetic texts, and misses it on others.
    """
    trials = {name: search.measure(config) for name, config in sets.items()}
    qualifying = {name: trial for name, trial in trials.items() if trial.qualifies}
    safe = {name: trial for name, trial in qualifying.items() if search.has_margin(trial)}
    if safe or not qualifying:
        return safe or trials
    largest_loss = MUCH_LOSS * min(trial.fidelity.loss for trial in qualifying.values())
    return {n: trial for n, trial in qualifying.items() if trial.fidelity.loss <= largest_loss}


def _search_float_layers(
    sets: Mapping[str, QuantizationConfig], search: Search, effort: Effort
) -> Iterator[tuple[str, Trial]]:
    """Yield the best trial of each set; where none qualifies, the one of least loss."""
    first: Trial | None = None
    for name, config in sets.items():
        if first is None or effort == "thorough":
            best = search.find_float_layers(config)
            first = first or best
            yield name, best or search.trials_like(config)[0]
        else:
            yield name, _reuse_float_layers(first, config, search)


def _reuse_float_layers(first: Trial, config: QuantizationConfig, search: Search) -> Trial:
    """Measure a set without a search of its own.

    It may need no layer in float: a smaller set of operators does less damage, and "nbits" has
    ranges of its own. Otherwise it needs the same layers in float as the first set.
    """
    if config.matmul_mode != "dynamic" and (whole := search.measure(config)).qualifies:
        return whole
    return search.measure(replace(config, float_nodes=first.config.float_nodes))


def _set_result(name: str, config: QuantizationConfig, best: Trial, search: Search) -> SetResult:
    trials = search.trials_like(config)
    fallbacks = [trial for trial in trials if trial.qualifies and trial is not best][:1]
    improved = _improve_weights(best, search) if best.qualifies else []
    return SetResult(name, (*improved, best, *fallbacks), len(trials))


def _improve_weights(best: Trial, search: Search) -> list[Trial]:
    """Measure the best trial with other weights; return the trials that are better, best first.

    Weights whose products never saturate must not raise the loss: one file then serves on every
    CPU. INT8 weights of float layers must make the file smaller by SMALLER, and may lose what the
    tolerance allows.
    """
    trials = [best]
    if best.config.matmul_mode in ("static", "static_weight", "mixed"):
        reduced = search.measure(replace(best.config, reduce_range=True))
        if reduced.qualifies and reduced.fidelity.loss <= best.fidelity.loss:
            trials.append(reduced)
    if best.config.float_nodes:
        smaller = search.measure(replace(trials[-1].config, weight_only_int8=True))
        keeps_margin = search.has_margin(smaller) or not search.has_margin(best)
        if smaller.qualifies and keeps_margin and smaller.size_bytes * SMALLER < best.size_bytes:
            trials.append(smaller)
    return trials[:0:-1]
