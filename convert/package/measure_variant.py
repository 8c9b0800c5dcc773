"""Each packaged variant, measured for the manifest."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

import numpy as np

from convert.errors import VerificationError
from convert.metrics import Outputs, measure
from convert.package.artifact import describe
from convert.quantize.saturation import saturating_layers
from convert.recipe import MediaKind, Tolerance
from convert.samples.golden import Golden
from convert.samples.sets import SampleSets
from convert.verify.latency import medians_ms
from convert.verify.op_types import op_types
from convert.verify.parity import GraphRun, integer_operators, rows_are_independent, run_rows
from runtime.artifact.golden_limits import measure_difference
from runtime.artifact.manifest import Spec, Variant
from runtime.engine.session import Feeds

VariantName = Literal["int8", "int8-7bit", "float"]

# 8-bit products saturate in pairs on x86 without these; ARM's dot product does not saturate
INT8_CPU_FEATURES = ("avx512_vnni", "avx_vnni", "asimddp")
# a graph in which nothing saturates is exact anywhere. With these it is faster than float too
EXACT_CPU_FEATURES = (*INT8_CPU_FEATURES, "avx512bw")
# and with this where ranges are constants: 1.2 to 3 x. By MatMulNBits it is not (MiniLM 0.8 to
# 1.0 x; with AVX-512 without VNNI 1.5 x); other ranges of the moment were not measured
SEVEN_BIT_CPU_FEATURES = ("avx2",)
RANGES_OF_THE_MOMENT = frozenset({"MatMulNBits", "MatMulInteger", "DynamicQuantizeLinear"})


def cpu_features(name: VariantName, path: Path, saturating: Sequence[str]) -> tuple[str, ...]:
    """Return the CPU features of which a variant needs one; empty: it is for any CPU.

    Args:
        name: of the variant.
        path: the ONNX file.
        saturating: layers of the file whose products may saturate.
    """
    if name == "float":
        return ()
    if name == "int8-7bit":
        return SEVEN_BIT_CPU_FEATURES
    if saturating:
        return INT8_CPU_FEATURES
    if RANGES_OF_THE_MOMENT & op_types(path).keys():
        return EXACT_CPU_FEATURES
    return (*EXACT_CPU_FEATURES, *SEVEN_BIT_CPU_FEATURES)


def measure_variant(
    name: VariantName,
    path: Path,
    run: GraphRun,
    spec: Spec,
    media: SampleSets,
    reference: Outputs,
    golden: Golden,
    tolerance: Tolerance | None,
    kind: MediaKind,
) -> Variant:
    """Measure one file as it will serve.

    Args:
        name: of the variant.
        path: the ONNX file, spec inside.
        run: of its graph on the held-out part of the media.
        spec: what is inside the file.
        media: the held-out part is used.
        reference: the framework's outputs of it.
        golden: samples and outputs kept with the artifact.
        tolerance: None where fidelity is reported and not judged (untrained weights).
        kind: of the media, so that whoever verifies the artifact again draws the same.

    Raises:
        VerificationError: outside the tolerance, or INT8 without integer operators.
    """
    fidelity = measure(reference, run.outputs, spec.suppression)
    # parity has judged the float graph already, also where drawings cannot tell a detector's boxes
    told = {n: v for n, v in fidelity.metrics.items() if name != "float" or not np.isnan(v)}
    reasons = tolerance.violations(told) if tolerance else []
    operators = integer_operators(path)
    if name != "float" and not operators:
        reasons.append("it computes in float")
    saturating = saturating_layers(path) if name != "float" else []
    if name == "int8-7bit" and saturating:
        reasons.append(f"{len(saturating)} layers may saturate, {saturating[0]} the first")
    if reasons:
        raise VerificationError(f"{name}: {', '.join(reasons)}")
    return Variant(
        name=name,
        precision="float" if name == "float" else "int8",
        files=(describe(path),),
        cpu_features=cpu_features(name, path, saturating),
        verification={
            "inputs": len(media.test),
            "inputs_source": media.source,
            "judged": tolerance is not None,
            "media": kind,
            "tolerance": _bounds(tolerance or Tolerance()),
            "fidelity": dict(fidelity.metrics),
            "golden": _differences(golden.outputs, run_rows(path, golden.samples)),
            "integer_operators": dict(operators),
        },
        batch_invariant=rows_are_independent(run),
    )


def timed(variants: Sequence[Variant], directory: Path, feeds: Feeds) -> tuple[Variant, ...]:
    """The same variants with `milliseconds` at one thread, all of them in turns in one run.

    Args:
        variants: of one version.
        directory: where their files are.
        feeds: one sample.
    """
    paths = [directory / variant.files[0].name for variant in variants]
    times = [round(found, 3) for found in medians_ms(paths, feeds, threads=1)]
    return tuple(
        replace(variant, verification={**variant.verification, "milliseconds": milliseconds})
        for variant, milliseconds in zip(variants, times, strict=True)
    )


def _bounds(tolerance: Tolerance) -> dict[str, dict[str, float]]:
    return {"at_least": dict(tolerance.at_least), "at_most": dict(tolerance.at_most)}


def _differences(reference: Outputs, found: Outputs) -> dict[str, dict[str, float]]:
    """By output: what a server of this file may differ by from the golden outputs."""
    return {name: asdict(measure_difference(reference[name], found[name])) for name in reference}
