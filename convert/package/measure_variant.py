"""The measurements of each packaged variant, and the CPUs that it is for."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from convert.errors import VerificationError
from convert.fidelity.intervals import CONFIDENCE
from convert.gate.rule import Rule
from convert.gate.verdict import record
from convert.metrics import Fidelity, Outputs, measure
from convert.package.artifact import file_entry
from convert.package.mapped_weights import Layout, data_path
from convert.quantize.saturation import saturating_layers
from convert.recipe import MediaKind, Tolerance
from convert.samples.golden import GoldenSamples
from convert.samples.sets import SampleSets
from convert.verify.batch_times import batch_times_ms
from convert.verify.latency import least_ms
from convert.verify.op_types import op_types
from convert.verify.parity import GraphRun, integer_operators, rows_are_independent, run_samples
from runtime.artifact.golden_limits import measure_difference
from runtime.artifact.manifest import BATCH_MILLISECONDS, Spec, Variant
from runtime.engine.session import Feeds

VariantName = Literal["int8", "int8-7bit", "float", "fp16"]
PRECISIONS: Mapping[VariantName, Literal["int8", "float", "float16"]] = {
    "int8": "int8",
    "int8-7bit": "int8",
    "float": "float",
    "fp16": "float16",
}
LABELLED = "labelled"  # `inputs_source` where labelled media judge: the fidelity is that on them
UNVERIFIED_SPEED = {"speed": "unverified: not measured on a GPU"}
FLOAT16_PROVIDERS = ("tensorrt", "cuda")  # CPUs compute float16 in float32, between casts

# x86 CPUs without the first two let pairs of 8-bit products saturate; ARM's dot product does not
INT8_CPU_FEATURES = ("avx512_vnni", "avx_vnni", "asimddp")
# A graph without products that saturate is exact on every CPU, and faster than float with these
EXACT_CPU_FEATURES = (*INT8_CPU_FEATURES, "avx512bw")
# With AVX2 it is faster too, 1.2 to 3 x, if its ranges are constants. MatMulNBits is not (MiniLM
# 0.8 to 1.0 x; with AVX-512 without VNNI 1.5 x); other ranges measured at run were not timed
SEVEN_BIT_CPU_FEATURES = ("avx2",)
RANGES_MEASURED_AT_RUN = frozenset({"MatMulNBits", "MatMulInteger", "DynamicQuantizeLinear"})


@dataclass(frozen=True, slots=True)
class Criteria:
    """The samples, reference outputs and bounds by which every variant of a version is verified."""

    spec: Spec  # as inside each file
    samples: SampleSets  # the test samples count
    reference: Outputs  # the framework's outputs of the test samples
    golden: GoldenSamples  # packaged with the variants
    rule: Rule | None  # None: untrained weights, whose fidelity is reported only
    media_kind: MediaKind  # `convert verify` generates samples of this kind again
    confidence: float = CONFIDENCE  # of the bounds: `look_confidence` of the graph that was chosen


def cpu_features(name: VariantName, path: Path, saturating: Sequence[str]) -> tuple[str, ...]:
    """Return the CPU features of which a variant needs one; empty: it is for any CPU.

    Args:
        name: of the variant.
        path: the ONNX file.
        saturating: layers of the file whose products may saturate.
    """
    if PRECISIONS[name] != "int8":
        return ()
    if saturating:
        return INT8_CPU_FEATURES
    if RANGES_MEASURED_AT_RUN & op_types(path).keys():
        return EXACT_CPU_FEATURES
    if name == "int8-7bit":
        return SEVEN_BIT_CPU_FEATURES
    return (*EXACT_CPU_FEATURES, *SEVEN_BIT_CPU_FEATURES)


def measure_variant(
    name: VariantName,
    path: Path,
    run: GraphRun,
    criteria: Criteria,
    layout: Layout | None = None,
) -> Variant:
    """Measure one file as it will serve: on the CPU's provider, also a file for GPUs.

    Args:
        name: of the variant.
        path: the ONNX file, spec inside; its weights may be in `data_path`.
        run: of its graph on the test samples.
        criteria: to verify it by.
        layout: the measurements that decided where its weights are; None if there are none.

    Raises:
        VerificationError: it is outside the tolerance, it is INT8 without integer operators, or it
            is the 7-bit variant and may saturate.
    """
    rows = criteria.samples.sources
    fidelity = measure(
        criteria.reference, run.outputs, criteria.spec.suppression, rows, criteria.confidence
    )
    inputs, source = len(criteria.samples.test), criteria.samples.source
    if criteria.rule is not None and name != "float":
        if criteria.rule.labelled is not None:
            inputs, source = len(criteria.rule.labelled), LABELLED
        metrics = {**fidelity.metrics, **criteria.rule.labelled_metrics(path)}
        fidelity = Fidelity(metrics, fidelity.loss)
    operators = integer_operators(path)
    is_int8 = PRECISIONS[name] == "int8"
    saturating = saturating_layers(path) if is_int8 else []
    reasons = _violations(name, fidelity, criteria.rule)
    if is_int8 and not operators:
        reasons.append("it computes in float")
    if name == "int8-7bit" and saturating:
        reasons.append(f"{len(saturating)} layers may saturate, {saturating[0]} the first")
    if reasons:
        raise VerificationError(f"{name}: {', '.join(reasons)}")
    golden = criteria.golden
    return Variant(
        name=name,
        precision=PRECISIONS[name],
        files=tuple(file_entry(file) for file in (path, data_path(path)) if file.exists()),
        cpu_features=cpu_features(name, path, saturating),
        verification={
            "inputs": inputs,
            "inputs_source": source,
            **({"division": criteria.samples.division} if criteria.samples.division else {}),
            "judged": criteria.rule is not None,
            "media": criteria.media_kind,
            **_judgement(name, fidelity, criteria.rule),
            "fidelity": dict(fidelity.metrics),
            "golden": _golden_differences(golden.outputs, run_samples(path, golden.samples)),
            "integer_operators": dict(operators),
            **({"memory": layout.to_json()} if layout else {}),
        },
        batch_invariant=rows_are_independent(run),
        providers=FLOAT16_PROVIDERS if name == "fp16" else (),
    )


def time_variants(
    variants: Sequence[Variant], directory: Path, feeds: Feeds
) -> tuple[Variant, ...]:
    """Return the variants with `milliseconds` at one thread, all of them timed in turns.

    Those with independent rows also have the time by batch size. Those for GPUs are not timed: a
    CPU tells nothing of their speed.

    Args:
        variants: of one version.
        directory: of their files.
        feeds: one sample.
    """
    paths = [directory / variant.files[0].name for variant in variants if not variant.providers]
    times = iter(least_ms(paths, feeds))
    timed = []
    for variant in variants:
        speed: Mapping[str, Any] = UNVERIFIED_SPEED
        if not variant.providers:
            speed = {"milliseconds": round(next(times), 3)}
            if variant.batch_invariant:
                path = directory / variant.files[0].name
                times_ms = batch_times_ms(path, feeds)
                recorded = {str(rows): round(ms, 4) for rows, ms in times_ms.items()}
                speed = {**speed, BATCH_MILLISECONDS: recorded}
        timed.append(replace(variant, verification={**variant.verification, **speed}))
    return tuple(timed)


def _violations(name: VariantName, fidelity: Fidelity, rule: Rule | None) -> list[str]:
    """Return a sentence for each bound that a variant violates.

    Float is held to the recipe's tolerance. Metrics that could not be measured do not count for it:
    parity has verified it also where synthetic samples show a detector too few boxes.
    """
    if rule is None:
        return []
    metrics = fidelity.metrics
    if name == "float":
        measured = {metric: value for metric, value in metrics.items() if not np.isnan(value)}
        return rule.tolerance.violations(measured)
    return rule.violations(metrics)


def _judgement(name: VariantName, fidelity: Fidelity, rule: Rule | None) -> Mapping[str, Any]:
    """Return the bounds that a variant was held to and, of quantized ones, how sure that is."""
    if rule is None or name == "float":
        bounds = rule.tolerance if rule else Tolerance()
        return {"tolerance": {"at_least": dict(bounds.at_least), "at_most": dict(bounds.at_most)}}
    return record(rule, fidelity.metrics)


def _golden_differences(expected: Outputs, outputs: Outputs) -> Mapping[str, dict[str, float]]:
    """Return how far the file's answers are from the golden ones, by output.

    A server of this file may differ as much.
    """
    return {name: asdict(measure_difference(expected[name], outputs[name])) for name in expected}
