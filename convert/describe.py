"""Each packaged variant, measured for the manifest."""

from pathlib import Path

import numpy as np

from convert.calibration import Media
from convert.errors import VerificationError
from convert.fidelity import Outputs, measure
from convert.golden import Golden
from convert.ladder import Precision
from convert.latency import medians_ms
from convert.package import describe
from convert.recipe import Tolerance
from convert.verify import batch_invariant, integer_operators, run_rows
from runtime.manifest import Spec, Variant

# 8-bit products saturate in pairs on x86 without these; ARM's dot product does not saturate
INT8_CPU_FEATURES = ("avx512_vnni", "avx_vnni", "asimddp")


def measure_variant(
    name: Precision,
    path: Path,
    spec: Spec,
    media: Media,
    reference: Outputs,
    golden: Golden,
    tolerance: Tolerance | None,
) -> Variant:
    """Measure one file as it will serve.

    Args:
        name: of the variant, and its precision.
        path: the ONNX file, spec inside.
        spec: what is inside the file.
        media: the evaluation part is used.
        reference: the framework's outputs of it.
        golden: samples and outputs kept with the artifact.
        tolerance: None where fidelity is reported and not judged (untrained weights).

    Raises:
        VerificationError: outside the tolerance, or "int8" without integer operators.
    """
    found = run_rows(path, media.evaluation)
    fidelity = measure(reference, found, spec.suppression)
    # parity has judged the float graph already, also where drawings cannot tell a detector's boxes
    told = {n: v for n, v in fidelity.metrics.items() if name != "float" or not np.isnan(v)}
    violations = tolerance.violations(told) if tolerance else []
    operators = integer_operators(path)
    if violations or (name == "int8" and not operators):
        reasons = violations or ["it computes in float"]
        raise VerificationError(f"{name}: {', '.join(reasons)}")
    milliseconds = medians_ms([path], media.evaluation[0], threads=1)[0]
    return Variant(
        name=name,
        precision=name,
        files=(describe(path),),
        cpu_features=INT8_CPU_FEATURES if name == "int8" else (),
        verification={
            "inputs": len(media.evaluation),
            "inputs_source": media.source,
            "judged": tolerance is not None,
            "fidelity": dict(fidelity.metrics),
            "golden": _differences(golden.outputs, run_rows(path, golden.samples)),
            "integer_operators": dict(operators),
            "milliseconds": round(milliseconds, 3),
        },
        batch_invariant=batch_invariant(path, media.evaluation),
    )


def _differences(reference: Outputs, found: Outputs) -> dict[str, dict[str, float]]:
    """By output: what a server of this file may differ by from the golden outputs."""
    absolute = {name: np.abs(reference[name] - found[name]) for name in reference}
    return {
        name: {"mean_abs": float(array.mean()), "max_abs": float(array.max())}
        for name, array in absolute.items()
    }
