"""Compare the outputs of a graph with the golden ones, within what the manifest allows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtime.artifact.golden import Array, Golden
from runtime.artifact.golden_limits import (
    Difference,
    limits,
    margin_unit,
    measure_difference,
    recorded_difference,
)


@dataclass(frozen=True, slots=True)
class OutputCheck:
    """The difference of one output from the golden one, and what it may be."""

    output: str
    difference: Difference
    allowed: Difference

    @property
    def passes(self) -> bool:
        """Return True if the difference is within what is allowed."""
        return self.difference.is_within(self.allowed)

    def __str__(self) -> str:
        """Return a sentence: the difference and, if it is too large, what is allowed."""
        mean, most = self.difference.mean_abs, self.difference.max_abs
        text = f"{self.output} differs by {mean:.1e}, at most {most:.1e}"
        if self.passes:
            return text
        return f"{text}; allowed: {self.allowed.mean_abs:.1e} and {self.allowed.max_abs:.1e}"


def check_outputs(
    golden: Golden, verification: Mapping[str, Any], outputs: Mapping[str, Array]
) -> Iterator[OutputCheck]:
    """Compare outputs with the golden ones of the same samples.

    Args:
        golden: of the version.
        verification: of the variant that was run, from the manifest; an output whose difference it
            does not record may differ by the margin alone.
        outputs: by name of the graph's output, for the first n >= 1 golden samples.

    Yields:
        A check per output. An output of another shape differs by infinity.
    """
    for name, actual in outputs.items():
        count = len(actual) if actual.ndim else 0
        expected = golden.outputs[name][:count]
        recorded = recorded_difference(verification, name) or Difference(0.0, 0.0)
        # a part of N samples may hold all of what the mean over N is of
        part = Difference(recorded.mean_abs * golden.count / max(count, 1), recorded.max_abs)
        same_shape = count > 0 and expected.shape == actual.shape
        difference = (
            measure_difference(expected, actual) if same_shape else Difference(np.inf, np.inf)
        )
        yield OutputCheck(name, difference, limits(part, margin_unit(name, golden.inputs)))
