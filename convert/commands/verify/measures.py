"""What is measured on each variant that this CPU runs."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.commands.verify.check import Check, judged
from convert.metrics import measure
from convert.recipe import Tolerance
from convert.samples.sets import Samples
from convert.verify.latency import medians_ms
from convert.verify.parity import BATCH_TOLERANCE, batch_invariant, integer_operators, run_rows
from runtime.artifact.golden import Golden
from runtime.artifact.golden_limits import (
    Difference,
    limits,
    margin_unit,
    measure_difference,
    recorded_difference,
)
from runtime.engine.session import Feeds
from runtime.model import Model

SYNTHETIC = "synthetic"  # what a manifest says of calibration on drawings


def golden_media(golden: Golden, model: Model) -> Iterator[Check]:
    """The golden files, decoded and preprocessed here, against what the graph was fed then."""
    count = len(golden.media)
    different = [n for n in range(count) if not _same_feeds(golden, model, n)]
    problem = f"of {different} other pixels or samples come than were verified" if different else ""
    yield judged("golden media", problem, f"{count} decode to what was verified")


def golden_outputs(directory: Path, golden: Golden, model: Model) -> Iterator[Check]:
    """The graph's answers to the golden inputs against the reference framework's."""
    rows = [golden.feeds(number) for number in range(golden.count)]
    answers = run_rows(_path(directory, model), rows)
    for name, actual in answers.items():
        recorded = recorded_difference(model.variant.verification, name) or Difference(0.0, 0.0)
        allowed = limits(recorded, margin_unit(name, golden.inputs))
        difference = measure_difference(golden.outputs[name], actual)
        said = f"{name} differs by {difference.mean_abs:.1e}, at most {difference.max_abs:.1e}"
        bounds = f"{allowed.mean_abs:.1e} and {allowed.max_abs:.1e}"
        problem = "" if difference.is_within(allowed) else f"{said}; allowed: {bounds}"
        yield judged("golden outputs", problem, said, model.variant.name)


def integers(directory: Path, model: Model) -> Iterator[Check]:
    """Whether onnxruntime computes INT8 in integers on this machine."""
    if model.variant.precision == "float":
        return
    found = sum(integer_operators(_path(directory, model)).values())
    problem = "" if found else "onnxruntime computes all of it in float"
    yield judged("integer operators", problem, f"{found} after optimisation", model.variant.name)


def batches(directory: Path, model: Model, samples: Samples) -> Iterator[Check]:
    """Whether row i of a batch equals row i alone, where the manifest says so."""
    if not model.variant.batch_invariant:
        found = "rows depend on their batch, as the manifest says: they run alone"
        yield Check("batches", "told", found, model.variant.name)
        return
    same = batch_invariant(_path(directory, model), samples)
    problem = "" if same else f"rows differ by more than {BATCH_TOLERANCE:.0e} in a batch"
    yield judged("batches", problem, "rows are those of runs alone", model.variant.name)


def fidelity(
    directory: Path, model: Model, plain: Model, samples: Samples, *, drawings: bool
) -> Iterator[Check]:
    """INT8 against float on inputs that the conversion has not seen."""
    expected, answers = (run_rows(_path(directory, one), samples) for one in (plain, model))
    metrics = measure(expected, answers, model.spec.suppression).metrics
    source = "fresh drawings" if drawings else "media given"
    said = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
    unjudged = _unjudged(model, metrics, drawings=drawings)
    if unjudged:
        found = f"{said} on {len(samples)} {source}; not judged: {unjudged}"
        yield Check("fidelity", "told", found, model.variant.name)
        return
    violations = _tolerance(model).violations(metrics)
    found = f"{said} on {len(samples)} {source}"
    problem = f"{', '.join(violations)} on {len(samples)} {source}" if violations else ""
    yield judged("fidelity", problem, found, model.variant.name)


def speed(directory: Path, model: Model, plain: Model, feeds: Feeds) -> Iterator[Check]:
    """What serves here against float, in turns at one thread."""
    if model.variant.name == plain.variant.name:
        yield Check("speed", "told", "float serves", model.variant.name)
        return
    paths = [_path(directory, one) for one in (model, plain)]
    served, reference = medians_ms(paths, feeds, threads=1)
    found = f"{reference / served:.2f} x float: {served:.2f} ms, float {reference:.2f} ms"
    problem = "" if served <= reference else f"slower than float on this machine, {found}"
    yield judged("speed", problem, found, model.variant.name)


def _unjudged(model: Model, metrics: Mapping[str, float], *, drawings: bool) -> str:
    """Why fidelity is only told; empty where it is judged."""
    verification = model.variant.verification
    if "tolerance" not in verification:
        return "the version records no tolerance"
    if not verification.get("judged", False):
        return "its weights are untrained"
    if drawings and model.manifest.calibration != SYNTHETIC:
        return "it was calibrated on real media, give such as --media DIR"
    if drawings and any(np.isnan(value) for value in metrics.values()):
        return "drawings cannot tell, give --media DIR"
    return ""


def _tolerance(model: Model) -> Tolerance:
    recorded = model.variant.verification["tolerance"]
    return Tolerance(recorded["at_least"], recorded["at_most"])


def _same_feeds(golden: Golden, model: Model, number: int) -> bool:
    feeds = model.prepare(golden.media[number], condition=golden.conditions[number]).feeds
    return all(_same(golden.inputs[name][number], array[0]) for name, array in feeds.items())


def _same(recorded: NDArray[Any], made: NDArray[Any]) -> bool:
    """Texts of a batch are filled with zeros to one length."""
    if recorded.ndim != made.ndim:
        return False
    missing = [(0, a - b) for a, b in zip(recorded.shape, made.shape, strict=True)]
    if any(after < 0 for _, after in missing):
        return False
    return bool(np.array_equal(np.pad(made, missing), recorded))


def _path(directory: Path, model: Model) -> Path:
    return directory / model.variant.files[0].name
