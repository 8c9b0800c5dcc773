"""The choice between INT8 and float: INT8 is packaged if accurate, really integer, and faster.

The search compares graphs on the validation samples, then its best graphs are tested on the test
samples: the best of thirty graphs owes part of its lead to the samples that selected it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import onnx

from convert.errors import ConvertError
from convert.fidelity.intervals import look_confidence
from convert.gate.rule import Rule
from convert.gate.verdict import Outcome, unjudged, verdict
from convert.metrics import Fidelity, measure
from convert.quantize.config_fields import choice_fields
from convert.quantize.graph_files import GraphFiles
from convert.quantize.measure_candidates import (
    Candidate,
    Finalist,
    measure_candidates,
    trial_record,
)
from convert.quantize.quantizer import QuantizationConfig, Quantizer
from convert.quantize.search.candidates import (
    Effort,
    SetResult,
    budget_for,
    find_candidates,
    without_reserve,
)
from convert.quantize.search.float_layers import Measurement, Search, Trial
from convert.quantize.search.status import SearchStatus, search_status
from convert.recipe import SEARCH_SECONDS, Tolerance
from convert.samples.sets import SYNTHETIC, SampleSets
from convert.verify.latency import run_and_time
from convert.verify.parity import GraphRun, run_samples
from runtime.artifact.manifest import NmsConfig

RequestedPrecision = Literal["auto", "int8", "float"]


@dataclass(frozen=True, slots=True)
class Choice:
    """The files to package, and every graph that was measured for the decision."""

    int8: Path | None  # the quantized file; None: float serves
    settings: Mapping[str, Any]  # part of the artifact's digest: no timings
    candidates: tuple[Mapping[str, Any], ...]  # as the manifest lists them
    reason: str
    int8_7bit: Path | None = None  # for CPUs without VNNI; None: `int8` never saturates there
    look: int = 1  # the graph was judged as this one, from 1
    verdict: Mapping[str, Any] = field(default_factory=dict)  # see `convert.gate.verdict`


def choose(
    float_run: GraphRun,
    samples: SampleSets,
    *,
    rule: Rule,
    suppression: NmsConfig | None = None,
    precision: RequestedPrecision = "auto",
    effort: Effort = "default",
    seconds: float = SEARCH_SECONDS,
    report: Callable[[SearchStatus], None] | None = None,
) -> Choice:
    """Search for quantized graphs, measure the best ones, and decide between them and float.

    Args:
        float_run: the float graph's outputs on the test samples. Quantized graphs are written
            to the directory of its file.
        samples: the calibration samples give the ranges, the validation samples guide the search,
            and the test samples decide whether its result is accurate enough.
        rule: the bounds that decide; none for untrained weights, whose fidelity means nothing.
        suppression: the settings with which a detector serves; None for other tasks.
        precision: "float" quantizes nothing; "int8" refuses a model without a qualifying graph.
        effort: "thorough" searches longer, and in every operator set.
        seconds: limit of the search at the default effort, in processor seconds; calibration does
            not count.
        report: called after each graph that the search measures, and while it learns; None: no
            report.

    Returns:
        The fastest candidate without an objection; or float, with the objections to all of them as
        the reason.

    Raises:
        ConvertError: precision is "int8" and no graph qualifies.
    """
    if precision == "float":
        reason = "INT8 was not tried: precision is float"
        untried = unjudged("untried", reason)
        return Choice(None, {"precision": "float"}, (), reason, verdict=untried)
    quantizer = Quantizer(onnx.load(float_run.path), samples.calibration)
    files = GraphFiles(quantizer.quantize, float_run.path.parent)
    comparison = _Comparison(float_run, samples, rule, suppression, files)
    budget = budget_for(effort, seconds)

    learning = ""

    def observe(trials: Sequence[Trial]) -> None:
        if report is not None:
            float_ms = comparison.float_ms
            report(search_status(trials, budget.graphs, rule.search, float_ms, learning))

    def observe_learning(state: str) -> None:
        nonlocal learning
        learning = state
        observe(search.trials)

    search = Search(
        comparison.evaluate,
        groups=quantizer.layer_groups,
        tolerance=rule.search,
        budget=without_reserve(budget),
        observe=observe,
    )
    has_media = samples.source != SYNTHETIC
    results = find_candidates(
        search, quantizer, effort=effort, has_media=has_media, observe=observe_learning
    )
    graphs = [comparison.test(result) for result in results]
    float_record, candidates = measure_candidates(float_run.path, graphs, samples.validation[0])
    tested = [graph.trial for graph in graphs]
    records = (
        float_record,
        *(candidate.record() for candidate in candidates),
        *(trial_record(trial) for trial in search.trials if trial not in tested),
    )
    best = _fastest([candidate for candidate in candidates if not candidate.objections])
    judgement = _verdict(rule, best, candidates, comparison.tested)
    if best is not None:
        config = best.graph.trial.config
        # None: its products never saturate, so CPUs without VNNI need no second file
        reduced = None if config.reduce_range else files.path(replace(config, reduce_range=True))
        reason = f"INT8 of {best.graph.name}, one of {comparison.tested} graphs that were judged"
        reason += f"; {learning}" if learning else ""
        learned = quantizer.learned if config.learned else None
        settings, look = choice_fields(config, learned), best.graph.look
        return Choice(best.graph.path, settings, records, reason, reduced, look, judgement)
    reason = "; ".join(
        f"INT8 of {candidate.graph.name}: {', '.join(candidate.objections)}"
        for candidate in candidates
    )
    if judgement.get("advice"):
        reason += f"; {judgement['advice']}"
    if precision == "int8":
        raise ConvertError(f"INT8 was asked for and does not qualify: {reason}")
    return Choice(None, {"precision": "float"}, records, reason, verdict=judgement)


def _verdict(
    rule: Rule, best: Candidate | None, candidates: Sequence[Candidate], looks: int
) -> Mapping[str, Any]:
    """Return the verdict on INT8: of the best graph or, without one, of the one nearest to it."""
    if rule.tolerance == Tolerance():
        return unjudged("unjudged", "INT8 is not judged: untrained weights, or no bounds")
    if best is not None:
        return verdict("accepted", rule, best.graph.fidelity.metrics, looks)
    nearest = min(candidates, key=lambda candidate: not candidate.is_undecided)
    outcome: Outcome = "undecided" if nearest.is_undecided else "refused"
    return verdict(outcome, rule, nearest.graph.fidelity.metrics, looks)


def _fastest(candidates: list[Candidate]) -> Candidate | None:
    """Return the first candidate, or a later one that is faster by more than noise; None of none.

    The factor that is more than noise is `min_speedup` of the later candidate.
    """
    best: Candidate | None = None
    for candidate in candidates:
        if best is None or best.milliseconds > candidate.min_speedup * candidate.milliseconds:
            best = candidate
    return best


class _Comparison:
    """Compares quantized graphs with the float graph, on the validation and test samples."""

    def __init__(
        self,
        float_run: GraphRun,
        samples: SampleSets,
        rule: Rule,
        suppression: NmsConfig | None,
        files: GraphFiles,
    ) -> None:
        self._samples = samples
        self._rule = rule
        self._suppression = suppression
        self._files = files
        self._validation_outputs, self.float_ms = run_and_time(float_run.path, samples.validation)
        self._test_outputs = float_run.outputs
        self.tested = 0  # graphs on the test samples

    def evaluate(self, config: QuantizationConfig) -> Measurement:
        """Quantize a graph, then time it and compare it with float on the validation samples.

        Its file stays on disk, unless files of smaller loss need the space (`GraphFiles.keep`).
        """
        path = self._files.path(config)
        outputs, milliseconds = run_and_time(path, self._samples.validation)
        fidelity = measure(self._validation_outputs, outputs, self._suppression)
        size_bytes = path.stat().st_size
        self._files.keep(config, loss=fidelity.loss)
        return Measurement(fidelity, milliseconds, size_bytes)

    def test(self, result: SetResult) -> Finalist:
        """Return the first graph of a result that keeps the bounds on the test samples.

        If none does, return the first graph with its violations. Each look at the test samples is
        another chance to pass by luck, so later ones need more certainty.
        """
        graphs = []
        for trial in result.trials:
            path = self._files.path(trial.config)
            outputs = run_samples(path, self._samples.test)
            self.tested += 1
            rows, confidence = self._rule.rows, look_confidence(self.tested)
            fidelity = measure(self._test_outputs, outputs, self._suppression, rows, confidence)
            metrics = {**fidelity.metrics, **self._rule.labelled_metrics(path)}
            fidelity = Fidelity(metrics, fidelity.loss)
            violations = tuple(self._rule.violations(fidelity.metrics))
            graph = Finalist(
                result.name,
                trial,
                path,
                result.graphs,
                fidelity,
                violations,
                is_settled=self._rule.decided_by_task(metrics),
                is_undecided=self._rule.is_undecided(metrics),
                look=self.tested,
            )
            if not violations:
                return graph
            graphs.append(graph)
        return graphs[0]
