"""Measure the variants that this CPU runs."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.commands.verify.check import Check, pass_or_fail
from convert.gate.rule import of_values
from convert.metrics import measure
from convert.recipe import Tolerance
from convert.samples.division import MAX_FILES_PER_SET
from convert.samples.sets import Samples
from convert.verify.batch_times import SIZES, batch_times_ms
from convert.verify.latency import least_ms
from convert.verify.load_cost import measure_load
from convert.verify.parity import BATCH_TOLERANCE, batch_invariant, integer_operators, run_samples
from runtime.artifact.batch_times import cheapest_rows
from runtime.artifact.golden import Golden
from runtime.artifact.golden_check import check_outputs
from runtime.engine.session import Feeds
from runtime.model import Model

MEGABYTE = 1e6
SYNTHETIC = "synthetic"  # `calibration` of a manifest: on synthetic samples


def check_golden_media(golden: Golden, model: Model) -> Iterator[Check]:
    """Check that the golden files decode and preprocess here as they did at conversion."""
    count = len(golden.media)
    different = [n for n in range(count) if not _same_feeds(golden, model, n)]
    problem = f"golden files {different} decode differently than at conversion" if different else ""
    yield pass_or_fail("golden media", problem, f"{count} decode to what was verified")


def check_golden_outputs(directory: Path, golden: Golden, model: Model) -> Iterator[Check]:
    """Check the graph's outputs for the golden inputs against the reference framework's."""
    rows = [golden.feeds(number) for number in range(golden.count)]
    outputs = run_samples(_path(directory, model), rows)
    for check in check_outputs(golden, model.variant.verification, outputs):
        problem = "" if check.passes else str(check)
        yield pass_or_fail("golden outputs", problem, str(check), model.variant.name)


def check_integer_operators(directory: Path, model: Model) -> Iterator[Check]:
    """Check that onnxruntime computes an INT8 variant in integers on this machine."""
    if model.variant.precision != "int8":
        return
    count = sum(integer_operators(_path(directory, model)).values())
    problem = "" if count else "onnxruntime computes all of it in float"
    text = f"{count} after optimisation"
    yield pass_or_fail("integer operators", problem, text, model.variant.name)


def check_memory(directory: Path, model: Model, feeds: Feeds) -> Iterator[Check]:
    """Tell what mapped weights keep in memory here; of a variant in one file, nothing."""
    recorded = model.variant.verification.get("memory", {})
    if len(model.variant.files) == 1 or "one_file" not in recorded:
        return
    here = measure_load(_path(directory, model), feeds).kept_bytes / MEGABYTE
    one_file = recorded["one_file"]["kept_bytes"] / MEGABYTE
    text = f"mapped weights keep {here:.0f} MB; in one file {one_file:.0f} MB at conversion"
    if here > one_file / 2:
        text += ": this CPU packs them otherwise, they are mapped where a like CPU converts them"
    yield Check("memory", "told", text, model.variant.name)


def check_batches(directory: Path, model: Model, samples: Samples) -> Iterator[Check]:
    """Check that each row of a batch equals a run of the row alone, if the manifest says so."""
    if not model.variant.batch_invariant:
        text = "rows depend on their batch, as the manifest says: they run alone"
        yield Check("batches", "told", text, model.variant.name)
        return
    same = batch_invariant(_path(directory, model), samples)
    problem = "" if same else f"rows differ by more than {BATCH_TOLERANCE:.0e} in a batch"
    yield pass_or_fail("batches", problem, "rows are those of runs alone", model.variant.name)


def check_fidelity(
    directory: Path, model: Model, plain: Model, samples: Samples, *, synthetic: bool
) -> Iterator[Check]:
    """Check that a variant stays within its tolerance of float, on inputs new to the conversion.

    Args:
        directory: of the version.
        model: the INT8 or float16 variant.
        plain: the float variant.
        samples: inputs of both.
        synthetic: whether the samples are synthetic.
    """
    expected, actual = (run_samples(_path(directory, one), samples) for one in (plain, model))
    metrics = measure(expected, actual, model.spec.suppression).metrics
    source = f"{len(samples)} {'synthetic samples' if synthetic else 'media of --media'}"
    values = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
    reason = _reason_to_report_only(model, metrics, len(samples), synthetic=synthetic)
    if reason:
        text = f"{values} on {source}; reported only: {reason}"
        yield Check("fidelity", "told", text, model.variant.name)
        return
    violations = _tolerance(model).violations(metrics)
    problem = f"{', '.join(violations)} on {source}" if violations else ""
    yield pass_or_fail("fidelity", problem, f"{values} on {source}", model.variant.name)


def check_speed(directory: Path, model: Model, plain: Model, feeds: Feeds) -> Iterator[Check]:
    """Check that the served variant is no slower than float; both run in turns at one thread."""
    if model.variant.name == plain.variant.name:
        yield Check("speed", "told", "float serves", model.variant.name)
        return
    paths = [_path(directory, one) for one in (model, plain)]
    served_ms, float_ms = least_ms(paths, feeds, is_close=lambda ms: ms[0] > ms[1])
    text = f"{float_ms / served_ms:.2f} x float: {served_ms:.2f} ms, float {float_ms:.2f} ms"
    problem = "" if served_ms <= float_ms else f"slower than float on this machine, {text}"
    yield pass_or_fail("speed", problem, text, model.variant.name)


def tell_batch_times(directory: Path, model: Model, feeds: Feeds) -> Iterator[Check]:
    """Tell what a row costs in a batch on this machine, and whether a server joins requests."""
    if not model.variant.batch_invariant:
        return
    times_ms = batch_times_ms(_path(directory, model), feeds)
    shares = (f"{ms / rows / times_ms[1]:.2f} in {rows}" for rows, ms in times_ms.items())
    recorded = cheapest_rows(model.variant.batch_times_ms, max(SIZES))
    joins = f"a server joins up to {recorded} rows" if recorded > 1 else "a server runs rows alone"
    text = f"a row costs, of what it costs alone: {', '.join(shares)}; by the manifest {joins}"
    yield Check("batch times", "told", text, model.variant.name)


def _reason_to_report_only(
    model: Model, metrics: Mapping[str, float], count: int, *, synthetic: bool
) -> str:
    """Return why fidelity can neither pass nor fail on so many samples; empty if it can."""
    verification = model.variant.verification
    if "tolerance" not in verification:
        return "the version records no tolerance"
    if not verification.get("judged", False):
        return "its weights are untrained"
    if synthetic and model.manifest.calibration != SYNTHETIC:
        return "it was calibrated on real media: pass media like those with --media DIR"
    if verification.get("judged_by") == "task":
        recorded = int(verification["evidence"]["sources"])
        return _too_few(min(recorded, MAX_FILES_PER_SET), count)
    if synthetic and any(np.isnan(value) for value in metrics.values()):
        return "a metric has no value on synthetic samples: pass --media DIR"
    return ""


def _too_few(needed: int, count: int) -> str:
    """Return why the bounds of a task cannot judge; empty if the media are as many as needed."""
    if count >= needed:
        return ""
    return f"the bounds of its task need {needed} media: pass --media DIR with as many"


def _tolerance(model: Model) -> Tolerance:
    """Return the recorded bounds; how sure a value was, is a matter of the conversion's samples."""
    recorded = model.variant.verification["tolerance"]
    return of_values(Tolerance(recorded["at_least"], recorded["at_most"]))


def _same_feeds(golden: Golden, model: Model, number: int) -> bool:
    feeds = model.prepare(golden.media[number], condition=golden.conditions[number]).feeds
    return all(
        _equal_but_padding(golden.inputs[name][number], array[0]) for name, array in feeds.items()
    )


def _equal_but_padding(recorded: NDArray[Any], actual: NDArray[Any]) -> bool:
    """Compare two inputs; texts of a batch are recorded with zeros behind, to one length."""
    if recorded.ndim != actual.ndim:
        return False
    padding = [(0, a - b) for a, b in zip(recorded.shape, actual.shape, strict=True)]
    if any(after < 0 for _, after in padding):
        return False
    return bool(np.array_equal(np.pad(actual, padding), recorded))


def _path(directory: Path, model: Model) -> Path:
    return directory / model.variant.files[0].name
