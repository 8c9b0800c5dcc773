"""Which quantized graphs are tried, in which order, and the best of each set of operators."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from convert.quantize.layers import WEIGHTED
from convert.quantize.quantizer import Quantizer, Setting, all_op_types
from convert.quantize.search.float_layers import Budget, Search, Trial

Effort = Literal["default", "thorough"]

GRAPHS = 30  # measured at most by default
THOROUGH = Budget(graphs=300, seconds=3600)
RESERVED = 4  # graphs of the budget for the rungs after the first
RUNGS: Mapping[str, Setting] = {
    "all operators": Setting(all_op_types()),
    "layers only": Setting(WEIGHTED),
}
# of transformers: between their products lie sums, norms and a softmax, which are float's. Integer
# softmax and sums cost more than they save, so all operators are not tried
PRODUCT_RUNGS: Mapping[str, Setting] = {
    "layers of weights": Setting(WEIGHTED, products="inputs"),
    "layers of weights, MatMul by blocks": Setting(WEIGHTED, products="blocks"),
    "layers of weights, dynamic MatMul": Setting(WEIGHTED, products="dynamic"),
}
SMALLER = 1.05  # how many times so large a file is worth more error
EARNS = 0.05  # share of the loss that a refinement must take away
MOSTLY_PRODUCTS = 0.5  # share of MatMul in the multiplications from which on those rungs are tried


def rung_name(setting: Setting) -> str:
    """Of the set of operators that a setting makes integer."""
    rungs = PRODUCT_RUNGS if setting.products != "whole" else RUNGS
    alike = (setting.op_types, setting.products)
    return next(name for name, each in rungs.items() if (each.op_types, each.products) == alike)


@dataclass(frozen=True, slots=True)
class Found:
    """What came of one rung."""

    name: str
    trials: tuple[Trial, ...]  # the best, and one that may do where it does not
    tried: int  # graphs measured on this rung


def budget(effort: Effort, seconds: float) -> Budget:
    """What a search may take.

    Args:
        effort: "thorough" may take its time.
        seconds: by default; of the recipe.
    """
    return THOROUGH if effort == "thorough" else Budget(GRAPHS, seconds)


def within(allowed: Budget) -> Budget:
    """The part of a budget that searching for float layers may spend."""
    return replace(allowed, graphs=allowed.graphs - RESERVED)


def climb(search: Search, quantizer: Quantizer, *, effort: Effort) -> list[Found]:
    """The best trial of each rung.

    Args:
        search: nothing measured yet.
        quantizer: of the graph.
        effort: "thorough" searches every rung, not only the first.
    """
    of_products = quantizer.product_share > MOSTLY_PRODUCTS
    rungs = PRODUCT_RUNGS if of_products else RUNGS
    changes = _refine(search, quantizer, next(iter(rungs.values())))
    rungs = {name: replace(rung, **changes) for name, rung in rungs.items()}
    found = _as_they_stand(rungs, search) if of_products else {}
    if not any(trial.qualifies for trial in found.values()):
        found = dict(_searched(rungs, search, effort))
    return [_found(name, rungs[name], trial, search) for name, trial in found.items()]


def _refine(search: Search, quantizer: Quantizer, rung: Setting) -> dict[str, Any]:
    """What costs no time and takes loss away, one after the other: fields of a setting."""
    tried: list[dict[str, Any]] = [{"corrected": True}, {"ranges": "percentile"}]
    if quantizer.equalises:
        tried.append({"equalised": True})
    tried.append({"ranges": "entropy"})
    kept: dict[str, Any] = {}
    best = search.measure(rung)
    for change in tried:
        if search.exhausted:
            break
        trial = search.measure(replace(best.setting, **change))
        if trial.fidelity.loss < best.fidelity.loss * (1 - EARNS):
            best, kept = trial, {**kept, **change}
    return kept


def _as_they_stand(rungs: Mapping[str, Setting], search: Search) -> dict[str, Trial]:
    """Each rung with nothing in float.

    Of transformers a rung that qualifies so is worth more than another one repaired: the repair
    takes minutes, leaves a third of MiniLM in float, and is then no faster, or by noise alone.
    """
    return {name: search.measure(rung) for name, rung in rungs.items()}


def _searched(
    rungs: Mapping[str, Setting], search: Search, effort: Effort
) -> Iterator[tuple[str, Trial]]:
    """The best trial of each rung; where none qualifies the one of least loss."""
    searched: Trial | None = None
    for name, rung in rungs.items():
        if searched is None or effort == "thorough":
            best = search.run(rung)
            searched = searched or best
            yield name, best or search.like(rung)[0]
        else:
            yield name, _after(searched, rung, search)


def _after(searched: Trial, rung: Setting, search: Search) -> Trial:
    """A rung without a search of its own, after one that had one.

    It may need nothing in float: a smaller set of operators does less damage, and blocks have
    ranges of their own. Else what the first rung had to leave in float, this one has to as well.
    """
    if rung.products != "dynamic" and (whole := search.measure(rung)).qualifies:
        return whole
    return search.measure(replace(rung, float_nodes=searched.setting.float_nodes))


def _found(name: str, rung: Setting, best: Trial, search: Search) -> Found:
    alike = search.like(rung)
    others = [trial for trial in alike if trial.qualifies and trial is not best]
    better = _finished(best, search) if best.qualifies else []
    return Found(name, (*better, best, *others[:1]), len(alike))


def _finished(best: Trial, search: Search) -> list[Trial]:
    """The same with other weights where that is worth it, the best first.

    Those of which no pair of products saturates need only lose nothing: one file then serves on
    every CPU. Those of float layers in 8 bits may lose what the tolerance allows.
    """
    found = [best]
    if best.setting.products in ("whole", "inputs"):
        fitting = search.measure(replace(best.setting, reduce_range=True))
        if fitting.qualifies and fitting.fidelity.loss <= best.fidelity.loss:
            found.append(fitting)
    if best.setting.float_nodes:
        stored = search.measure(replace(found[-1].setting, stored=True))
        as_safe = search.is_safe(stored) or not search.is_safe(best)
        if stored.qualifies and as_safe and stored.size_bytes * SMALLER < best.size_bytes:
            found.append(stored)
    return found[:0:-1]
