"""Quantized or float: INT8 is packaged inside the tolerance, really integer, and faster.

The search sees one part of the inputs; what it found is judged on another, which it never saw: the
best of thirty candidates owes some of its lead to the inputs that chose it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import onnx

from convert.errors import ConvertError
from convert.metrics import Fidelity, Outputs, measure
from convert.quantize.graph_files import GraphFiles
from convert.quantize.passes.matmul_nbits import ONNXRUNTIME_MINIMUM
from convert.quantize.quantizer import Quantizer, Setting
from convert.quantize.search.candidates import Effort, Found, budget, climb, rung_name, within
from convert.quantize.search.float_layers import Measured, Search, Trial
from convert.recipe import SEARCH_SECONDS, Tolerance
from convert.samples.sets import SampleSets
from convert.verify.latency import medians_ms, run_and_time
from convert.verify.parity import GraphRun, integer_operators, run_rows
from convert.verify.peak_memory import peak_bytes
from runtime.artifact.manifest import NmsConfig

Precision = Literal["int8", "float"]
Wanted = Literal["auto", "int8", "float"]

REFINED: Mapping[str, str] = {  # fields of a setting, in the words of the report
    "corrected": "corrected",
    "equalised": "equalised",
    "reduce_range": "weights that never saturate",
    "stored": "float layers stored in 8 bits",
}
CHALLENGE = 1.05  # how much faster than what stands a challenger must be: noise is no reason
DYNAMIC_CHALLENGE = 1.15  # of one that loses what makes a batch: rows that do not depend on others


@dataclass(frozen=True, slots=True)
class Rung:
    """The best graph found with one set of operators."""

    name: str
    trial: Trial
    path: Path
    tried: int  # graphs measured to find it
    held_out: Fidelity  # on inputs that the search never saw
    violations: tuple[str, ...]  # of the tolerance, by `held_out`
    integer_operators: Mapping[str, int]  # none: onnxruntime folded it back to float
    milliseconds: float  # at one thread
    times_faster: float  # than float, in the same run
    peak_bytes: int  # that a fresh process takes on top to load and run it

    @property
    def challenge(self) -> float:
        """How much faster it must be than what stands."""
        return DYNAMIC_CHALLENGE if self.trial.setting.products == "dynamic" else CHALLENGE

    @property
    def objections(self) -> list[str]:
        """Why it may not be packaged; empty when it may."""
        unseen = "on inputs that the search did not see"
        reasons = list(self.trial.violations or (f"{each} {unseen}" for each in self.violations))
        if not self.integer_operators:
            reasons.append("onnxruntime computes all of it in float")
        if self.times_faster < CHALLENGE:
            reasons.append(f"{self.times_faster:.2f} x the speed of float < {CHALLENGE}")
        return reasons

    def record(self) -> dict[str, Any]:
        """Its line in the manifest's `candidates`."""
        return {
            "name": self.name,
            "fidelity": dict(self.held_out.metrics),
            "searched_fidelity": dict(self.trial.fidelity.metrics),
            **_told(self.trial.setting),
            "graphs_tried": self.tried,
            "integer_operators": sum(self.integer_operators.values()),
            "milliseconds": round(self.milliseconds, 3),
            "times_faster": round(self.times_faster, 3),
            "size_bytes": self.path.stat().st_size,
            "peak_bytes": self.peak_bytes,
            "objections": self.objections,
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """What will be packaged, and everything that was tried for it."""

    int8: Path | None  # the quantized file; None: float serves
    settings: Mapping[str, Any]  # part of the artifact's digest: no timings
    candidates: tuple[Mapping[str, Any], ...]
    reason: str
    int8_7bit: Path | None = None  # `int8` with weights of 7 bits; None: it has them itself


def choose(
    float_run: GraphRun,
    media: SampleSets,
    *,
    tolerance: Tolerance,
    suppression: NmsConfig | None = None,
    precision: Wanted = "auto",
    effort: Effort = "default",
    seconds: float = SEARCH_SECONDS,
) -> Choice:
    """Search, measure and decide.

    Args:
        float_run: the float graph's outputs of the held-out samples; candidates are written to
            the directory of its file.
        media: calibration observes the ranges, the search goes by evaluation, held_out judges.
        tolerance: an empty one for untrained weights, whose fidelity means nothing.
        suppression: of a detector, as it serves.
        precision: "float" tries nothing; "int8" refuses where nothing qualifies.
        effort: "thorough" searches longer, and every rung.
        seconds: of the search, where effort is "default"; calibration is not in it.

    Raises:
        ConvertError: precision is "int8" and nothing qualifies.
    """
    if precision == "float":
        return Choice(None, {"precision": "float"}, (), "float was asked for")
    quantizer = Quantizer(onnx.load(float_run.path), media.calibration)
    files = GraphFiles(quantizer.quantize, float_run.path.parent)
    judge = _Judge(float_run, media, tolerance, suppression, files)
    search = Search(
        judge.evaluate,
        units=quantizer.units,
        tolerance=tolerance,
        budget=within(budget(effort, seconds)),
    )
    found = [judge.unseen(each) for each in climb(search, quantizer, effort=effort)]
    float_record, rungs = _timed(float_run.path, media, found)
    taken = [rung.trial for rung in rungs]
    rest = [_trial_record(trial) for trial in search.trials if trial not in taken]
    records = (float_record, *(rung.record() for rung in rungs), *rest)
    fit = [rung for rung in rungs if not rung.objections]
    if fit:
        best = fit[0]
        for rung in fit[1:]:
            best = rung if best.milliseconds > rung.challenge * rung.milliseconds else best
        reduced = _with_7_bits(files, best)
        return Choice(best.path, _settings(best), records, f"INT8 of {best.name}", reduced)
    reason = "; ".join(f"INT8 of {rung.name}: {', '.join(rung.objections)}" for rung in rungs)
    if precision == "int8":
        raise ConvertError(f"INT8 was asked for and does not qualify: {reason}")
    return Choice(None, {"precision": "float"}, records, reason)


def _with_7_bits(files: GraphFiles, rung: Rung) -> Path | None:
    if rung.trial.setting.reduce_range:  # what serves has them already
        return None
    return files.path(replace(rung.trial.setting, reduce_range=True))


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One rung's graph as a file, judged."""

    name: str
    trial: Trial
    path: Path
    tried: int
    held_out: Fidelity
    violations: tuple[str, ...]


class _Judge:
    """Compares graphs with the float graph, on either part of the inputs."""

    def __init__(
        self,
        float_run: GraphRun,
        media: SampleSets,
        tolerance: Tolerance,
        suppression: NmsConfig | None,
        files: GraphFiles,
    ) -> None:
        self._media = media
        self._tolerance = tolerance
        self._suppression = suppression
        self._files = files
        self._seen = run_rows(float_run.path, media.validation)
        self._unseen = float_run.outputs

    def evaluate(self, setting: Setting) -> Measured:
        """By what the search sees."""
        path = self._files.path(setting)
        outputs, milliseconds = run_and_time(path, self._media.validation)
        measured = Measured(self._fidelity(self._seen, outputs), milliseconds, path.stat().st_size)
        self._files.keep(setting, loss=measured.fidelity.loss)
        return measured

    def unseen(self, found: Found) -> _Candidate:
        """A rung's best by what the search did not see; where that fails, the one beside it."""
        candidates = []
        for trial in found.trials:
            path = self._files.path(trial.setting)
            held = self._fidelity(self._unseen, run_rows(path, self._media.test))
            violations = tuple(self._tolerance.violations(held.metrics))
            candidates.append(_Candidate(found.name, trial, path, found.tried, held, violations))
            if not violations:
                return candidates[-1]
        return candidates[0]

    def _fidelity(self, expected: Outputs, outputs: Outputs) -> Fidelity:
        return measure(expected, outputs, self._suppression)


def _timed(
    float_path: Path, media: SampleSets, found: list[_Candidate]
) -> tuple[dict[str, Any], list[Rung]]:
    feeds = media.validation[0]
    float_ms, *times = medians_ms([float_path, *(each.path for each in found)], feeds, threads=1)
    float_record = {
        "name": "float",
        "milliseconds": round(float_ms, 3),
        "size_bytes": float_path.stat().st_size,
        "peak_bytes": peak_bytes(float_path, feeds),
    }
    rungs = [
        Rung(
            each.name,
            each.trial,
            each.path,
            each.tried,
            each.held_out,
            each.violations,
            integer_operators(each.path),
            ms,
            float_ms / ms,
            peak_bytes(each.path, feeds),
        )
        for each, ms in zip(found, times, strict=True)
    ]
    return float_record, rungs


def _trial_record(trial: Trial) -> dict[str, Any]:
    """A graph that the search measured on its way; `searched` tells it from what was judged."""
    return {
        "name": _name(trial.setting),
        "searched": True,
        "fidelity": dict(trial.fidelity.metrics),
        **_told(trial.setting),
        "milliseconds": round(trial.measured.milliseconds, 3),
        "size_bytes": trial.size_bytes,
        "objections": list(trial.violations),
    }


def _name(setting: Setting) -> str:
    told = _told(setting)
    parts = [rung_name(setting), f"{told['ranges']} ranges"]
    parts += [words for field, words in REFINED.items() if told[field]]
    parts += [f"{told['float_nodes']} nodes in float"] if told["float_nodes"] else []
    return ", ".join(parts)


def _told(setting: Setting) -> dict[str, Any]:
    return {
        "float_nodes": len(setting.float_nodes),
        "ranges": setting.ranges,
        "corrected": setting.corrected,
        "equalised": setting.equalised,
        "reduce_range": setting.reduce_range,
        "stored": setting.stored,
    }


def _settings(rung: Rung) -> dict[str, Any]:
    setting = rung.trial.setting
    needs = {"onnxruntime_minimum": ONNXRUNTIME_MINIMUM} if setting.products == "blocks" else {}
    return {
        "precision": "int8",
        "operators": rung.name,
        **_told(setting),
        "float_nodes": sorted(setting.float_nodes),
        **needs,
    }
