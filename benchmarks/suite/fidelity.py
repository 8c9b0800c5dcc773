"""Compare a packaged variant with the framework that the model comes from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.artifact.golden import Golden
from runtime.artifact.manifest import Variant
from runtime.engine.session import Session

Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Fidelity:
    """The distance of a variant from the original framework."""

    metrics: Mapping[str, float | None]  # of the conversion, on inputs calibration did not see
    inputs: int  # number of those inputs
    inputs_source: str
    golden_cosine: float  # measured here: the lowest of all outputs of all golden samples


def measure_fidelity(variant: Variant, session: Session, golden: Golden) -> Fidelity:
    """Return what the conversion measured, and the cosine of the golden outputs on this CPU."""
    verification = variant.verification
    metrics = verification.get("fidelity", {})
    return Fidelity(
        metrics={name: _finite(value) for name, value in metrics.items()},
        inputs=verification.get("inputs", 0),
        inputs_source=verification.get("inputs_source", "unknown"),
        golden_cosine=min(
            lowest_cosine(session.run(golden.feeds(number)), golden.outputs, number)
            for number in range(golden.count)
        ),
    )


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def lowest_cosine(
    outputs: Mapping[str, Array], originals: Mapping[str, Array], number: int
) -> float:
    """Return the lowest cosine of the outputs of one sample to the originals.

    Args:
        outputs: by name, (1, ...).
        originals: by name, (N, ...).
        number: of the sample.
    """
    return min(cosine(outputs[name], originals[name][number]) for name in originals)


def cosine(first: Array, second: Array) -> float:
    """Return the cosine of two arrays of equal size; 1 if both are zero, 0 if one is."""
    a, b = (array.astype(np.float64).ravel() for array in (first, second))
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    if norms == 0.0:
        return float(not a.any() and not b.any())
    return float(a @ b) / norms
