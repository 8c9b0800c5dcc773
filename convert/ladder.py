"""Quantized or float: INT8 is packaged inside the tolerance, really integer, and faster."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import onnx

from convert.blocks import ONNXRUNTIME_MINIMUM
from convert.calibration import Media
from convert.errors import ConvertError
from convert.fidelity import Fidelity, measure
from convert.latency import medians_ms
from convert.quantize import Quantizer, Setting, all_op_types
from convert.recipe import Tolerance
from convert.search import Search, Trial
from convert.units import WEIGHTED
from convert.verify import integer_operators, run_rows
from runtime.manifest import Suppression

Precision = Literal["int8", "float"]
Wanted = Literal["auto", "int8", "float"]

CHALLENGE = 1.05  # how much faster than what stands a challenger must be: noise is no reason
DYNAMIC_CHALLENGE = 1.15  # of one that loses what makes a batch: rows that do not depend on others
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
MOSTLY_PRODUCTS = 0.5  # share of MatMul in the multiplications from which on those rungs are tried


@dataclass(frozen=True, slots=True)
class Rung:
    """The best graph found with one set of operators."""

    name: str
    trial: Trial
    path: Path
    tried: int  # graphs measured to find it
    integer_operators: Mapping[str, int]  # none: onnxruntime folded it back to float
    milliseconds: float  # at one thread
    times_faster: float  # than float, in the same run

    @property
    def challenge(self) -> float:
        """How much faster it must be than what stands."""
        return DYNAMIC_CHALLENGE if self.trial.setting.products == "dynamic" else CHALLENGE

    @property
    def objections(self) -> list[str]:
        """Why it may not be packaged; empty when it may."""
        reasons = list(self.trial.violations)
        if not self.integer_operators:
            reasons.append("onnxruntime computes all of it in float")
        if self.times_faster < CHALLENGE:
            reasons.append(f"{self.times_faster:.2f} x the speed of float < {CHALLENGE}")
        return reasons

    def record(self) -> dict[str, Any]:
        """Its line in the manifest's `candidates`."""
        return {
            "name": self.name,
            "fidelity": dict(self.trial.fidelity.metrics),
            "float_nodes": len(self.trial.setting.float_nodes),
            "graphs_tried": self.tried,
            "integer_operators": sum(self.integer_operators.values()),
            "milliseconds": round(self.milliseconds, 3),
            "times_faster": round(self.times_faster, 3),
            "size_bytes": self.path.stat().st_size,
            "objections": self.objections,
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """What will be packaged, and everything that was tried for it."""

    int8: Path | None  # the quantized file; None: float serves
    settings: Mapping[str, Any]  # part of the artifact's digest: no timings
    candidates: tuple[Mapping[str, Any], ...]
    reason: str
    int8_7bit: Path | None = None  # `int8` with weights of 7 bits, for CPUs without VNNI


def choose(
    float_path: Path,
    media: Media,
    *,
    tolerance: Tolerance,
    suppression: Suppression | None = None,
    precision: Wanted = "auto",
) -> Choice:
    """Search, measure and decide.

    Args:
        float_path: the float graph; candidates are written beside it.
        media: calibration observes the ranges, evaluation judges.
        tolerance: an empty one for untrained weights, whose fidelity means nothing.
        suppression: of a detector, as it serves.
        precision: "float" tries nothing; "int8" refuses where nothing qualifies.

    Raises:
        ConvertError: precision is "int8" and nothing qualifies.
    """
    if precision == "float":
        return Choice(None, {"precision": "float"}, (), "float was asked for")
    quantizer = Quantizer(onnx.load(float_path), media.calibration)
    found = list(_climb(quantizer, float_path, media, tolerance, suppression))
    float_ms, rungs = _timed(float_path, media, found)
    records = (_float_record(float_path, float_ms), *(rung.record() for rung in rungs))
    fit = [rung for rung in rungs if not rung.objections]
    if fit:
        best = fit[0]
        for rung in fit[1:]:
            best = rung if best.milliseconds > rung.challenge * rung.milliseconds else best
        reduced = _with_7_bits(quantizer, best)
        return Choice(best.path, _settings(best), records, f"INT8 of {best.name}", reduced)
    reason = "; ".join(f"INT8 of {rung.name}: {', '.join(rung.objections)}" for rung in rungs)
    if precision == "int8":
        raise ConvertError(f"INT8 was asked for and does not qualify: {reason}")
    return Choice(None, {"precision": "float"}, records, reason)


def _with_7_bits(quantizer: Quantizer, rung: Rung) -> Path:
    path = rung.path.with_name(f"{rung.path.stem}-7bit.onnx")
    onnx.save(quantizer.quantize(replace(rung.trial.setting, reduce_range=True)), path)
    return path


def _climb(
    quantizer: Quantizer,
    float_path: Path,
    media: Media,
    tolerance: Tolerance,
    suppression: Suppression | None,
) -> Iterator[tuple[str, Trial, Path, int]]:
    """The best trial of each rung, with its file."""
    expected = run_rows(float_path, media.evaluation)
    scratch = float_path.with_name("candidate.onnx")

    @cache  # a search begins with what the rungs as they stand, or one before it, have measured
    def evaluate(setting: Setting) -> Fidelity:
        onnx.save(quantizer.quantize(setting), scratch)
        return measure(expected, run_rows(scratch, media.evaluation), suppression)

    def search() -> Search:
        return Search(evaluate, units=quantizer.units, tolerance=tolerance)

    rungs = _rungs(quantizer)
    found = _as_they_stand(rungs, search()) if rungs is PRODUCT_RUNGS else []
    if not any(trial.qualifies for _, trial, _ in found):
        found = list(_searched(rungs, search))
    for name, trial, tried in found:
        path = float_path.with_name(f"int8-{name.replace(', ', '-').replace(' ', '-')}.onnx")
        onnx.save(quantizer.quantize(trial.setting), path)
        yield name, trial, path, tried


def _as_they_stand(rungs: Mapping[str, Setting], search: Search) -> list[tuple[str, Trial, int]]:
    """Each rung with nothing in float, and how many graphs that took: one.

    Of transformers a rung that qualifies so is worth more than another one repaired: the repair
    takes minutes, leaves a third of MiniLM in float, and is then no faster, or by noise alone.
    """
    return [(name, search.measure(rung), 1) for name, rung in rungs.items()]


def _searched(
    rungs: Mapping[str, Setting], search: Callable[[], Search]
) -> Iterator[tuple[str, Trial, int]]:
    """The best trial of each rung, and how many graphs were measured to find it."""
    searched: Trial | None = None
    for name, rung in rungs.items():
        trials = search()
        if searched is None:
            searched = trials.run(rung)
            yield name, searched or trials.best(), len(trials.trials)
        else:
            yield name, _after(searched, rung, trials), len(trials.trials)


def _after(searched: Trial, rung: Setting, search: Search) -> Trial:
    """A rung without a search of its own, after one that had one.

    It may need nothing in float: a smaller set of operators does less damage, and blocks have
    ranges of their own. Else what the first rung had to leave in float, this one has to as well.
    """
    if rung.products != "dynamic" and (whole := search.measure(rung)).qualifies:
        return whole
    return search.measure(replace(rung, float_nodes=searched.setting.float_nodes))


def _rungs(quantizer: Quantizer) -> Mapping[str, Setting]:
    return PRODUCT_RUNGS if quantizer.product_share > MOSTLY_PRODUCTS else RUNGS


def _timed(
    float_path: Path, media: Media, found: list[tuple[str, Trial, Path, int]]
) -> tuple[float, list[Rung]]:
    paths = [float_path, *(path for _, _, path, _ in found)]
    float_ms, *times = medians_ms(paths, media.evaluation[0], threads=1)
    rungs = [
        Rung(name, trial, path, tried, integer_operators(path), ms, float_ms / ms)
        for (name, trial, path, tried), ms in zip(found, times, strict=True)
    ]
    return float_ms, rungs


def _float_record(path: Path, milliseconds: float) -> dict[str, Any]:
    size_bytes = path.stat().st_size
    return {"name": "float", "milliseconds": round(milliseconds, 3), "size_bytes": size_bytes}


def _settings(rung: Rung) -> dict[str, Any]:
    setting = rung.trial.setting
    needs = {"onnxruntime_minimum": ONNXRUNTIME_MINIMUM} if setting.products == "blocks" else {}
    return {
        "precision": "int8",
        "operators": rung.name,
        "float_nodes": sorted(setting.float_nodes),
        **needs,
    }
