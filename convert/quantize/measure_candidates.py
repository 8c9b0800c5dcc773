"""The best graph of each operator set, measured as it would serve, and the objections to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.metrics import Fidelity
from convert.quantize.config_fields import config_fields, describe_config
from convert.quantize.search.float_layers import Trial
from convert.verify.latency import least_ms
from convert.verify.load_cost import peak_bytes
from convert.verify.parity import integer_operators
from runtime.engine.session import Feeds

# A graph must be this much faster than the one that it would replace: less is within the noise
MIN_SPEEDUP = 1.05
MIN_SPEEDUP_DYNAMIC = 1.15  # its rows depend on each other, so they cannot run in one batch
NEAR = 1.04  # a ratio within this factor of a bound is measured again


@dataclass(frozen=True, slots=True)
class Finalist:
    """The best graph of one operator set, tested on samples that the search has not seen."""

    name: str  # of the operator set
    trial: Trial
    path: Path
    graphs: int  # measured to find it
    fidelity: Fidelity  # on the test samples
    violations: tuple[str, ...]  # of the bounds, on the test samples
    is_settled: bool = False  # the test samples are enough for the bounds of the task
    is_undecided: bool = False  # more of them might accept it
    look: int = 1  # it was judged as this one, from 1: see `look_confidence`


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tested graph with everything that decides whether it is packaged."""

    graph: Finalist
    integer_operators: Mapping[str, int]  # empty: onnxruntime folded it back to float
    milliseconds: float  # at one thread
    times_faster: float  # than float, measured in turns with it
    peak_bytes: int  # memory that a fresh process needs to load and run it

    @property
    def min_speedup(self) -> float:
        """Return how many times faster than an earlier candidate it must be to replace that one."""
        return min_speedup(self.graph.trial)

    @property
    def objections(self) -> list[str]:
        """Return the reasons not to package it; empty: it may be packaged.

        They are violations of the bounds, no integer operator, and less than MIN_SPEEDUP times the
        speed of float, whatever `min_speedup` is. Where the test samples settle it, those of the
        search do not count: they are few, and one box of forty is 0.025.
        """
        unseen = "on inputs that the search did not see"
        violations = () if self.graph.is_settled else self.graph.trial.violations
        reasons = list(violations or (f"{text} {unseen}" for text in self.graph.violations))
        if not self.integer_operators:
            reasons.append("onnxruntime computes all of it in float")
        if self.times_faster < MIN_SPEEDUP:
            reasons.append(f"{self.times_faster:.2f} x the speed of float < {MIN_SPEEDUP}")
        return reasons

    @property
    def is_undecided(self) -> bool:
        """Return whether nothing but too little evidence speaks against it."""
        is_worth_it = self.integer_operators and self.times_faster >= MIN_SPEEDUP
        return bool(self.graph.is_undecided and is_worth_it)

    def record(self) -> dict[str, Any]:
        """Return its entry in the manifest's `candidates`."""
        trial = self.graph.trial
        return {
            "name": self.graph.name,
            "fidelity": dict(self.graph.fidelity.metrics),
            "searched_fidelity": dict(trial.fidelity.metrics),
            **config_fields(trial.config),
            "graphs_tried": self.graph.graphs,
            "integer_operators": sum(self.integer_operators.values()),
            "milliseconds": round(self.milliseconds, 3),
            "times_faster": round(self.times_faster, 3),
            "size_bytes": self.graph.path.stat().st_size,
            "peak_bytes": self.peak_bytes,
            "objections": self.objections,
        }


def measure_candidates(
    float_path: Path, graphs: Sequence[Finalist], feeds: Feeds
) -> tuple[dict[str, Any], list[Candidate]]:
    """Time the graphs in turns with the float graph, and measure their memory and operators.

    Args:
        float_path: the float graph.
        graphs: the quantized graphs to compare with it.
        feeds: the sample to run.

    Returns:
        The float graph's entry in the manifest's `candidates`, and the candidates.
    """
    paths = [float_path, *(graph.path for graph in graphs)]
    speedups = [min_speedup(graph.trial) for graph in graphs]
    float_ms, *times = least_ms(paths, feeds, is_close=lambda ms: is_close(ms, speedups))
    float_record = {
        "name": "float",
        "milliseconds": round(float_ms, 3),
        "size_bytes": float_path.stat().st_size,
        "peak_bytes": peak_bytes(float_path, feeds),
    }
    candidates = [
        Candidate(
            graph,
            integer_operators(graph.path),
            milliseconds,
            float_ms / milliseconds,
            peak_bytes(graph.path, feeds),
        )
        for graph, milliseconds in zip(graphs, times, strict=True)
    ]
    return float_record, candidates


def min_speedup(trial: Trial) -> float:
    """Return how many times faster than another graph one must be to replace it."""
    is_dynamic = trial.config.matmul_mode == "dynamic"
    return MIN_SPEEDUP_DYNAMIC if is_dynamic else MIN_SPEEDUP


def is_close(milliseconds: Sequence[float], speedups: Sequence[float]) -> bool:
    """Return True if a ratio that decides is within the noise of a measurement of its bound.

    Args:
        milliseconds: of the float graph, then of the candidates.
        speedups: of each candidate, by which it must beat an earlier one to replace it.
    """
    float_ms, *times = milliseconds
    margins = [float_ms / ms / MIN_SPEEDUP for ms in times]
    margins += [
        earlier_ms / ms / speedup
        for index, (ms, speedup) in enumerate(zip(times, speedups, strict=True))
        for earlier_ms in times[:index]
    ]
    return any(1 / NEAR < margin < NEAR for margin in margins)


def trial_record(trial: Trial) -> dict[str, Any]:
    """Return the entry in the manifest's `candidates` of a graph that only the search measured."""
    return {
        "name": describe_config(trial.config),
        "searched": True,
        "fidelity": dict(trial.fidelity.metrics),
        **config_fields(trial.config),
        "milliseconds": round(trial.measurement.milliseconds, 3),
        "size_bytes": trial.size_bytes,
        "objections": list(trial.violations),
    }
