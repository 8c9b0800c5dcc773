"""Judge the ratios of a head to its base."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TimeVerdict:
    """The times of one case on both sides."""

    case: str
    base_us: float  # of one call, the least
    head_us: float
    ratios: tuple[float, ...]  # head / base of each repeat
    limit: float

    @property
    def ratio(self) -> float:
        """Return the median of the repeats."""
        return statistics.median(self.ratios)

    @property
    def is_slower(self) -> bool:
        """Return True if the median is above the limit."""
        return self.ratio > self.limit


@dataclass(frozen=True, slots=True)
class ExactVerdict:
    """A size or a memory of both sides, in bytes."""

    case: str
    base: int
    head: int
    ratio_limit: float
    bytes_limit: int  # may be added in any case

    @property
    def is_larger(self) -> bool:
        """Return True if the head is above both limits."""
        return self.head > max(self.base * self.ratio_limit, self.base + self.bytes_limit)


def undecided(verdicts: Sequence[TimeVerdict], doubt: float, repeats: int) -> list[str]:
    """Return the cases that noise may have changed, and that are not repeated enough.

    An alarm may be noise, and so may the ratio that is a little below it: a single measurement of
    the same code may be a twentieth too low.

    Args:
        verdicts: so far.
        doubt: ratio of the first measurement above which there are others.
        repeats: after which the median decides.
    """
    return [v.case for v in verdicts if v.ratios[0] > doubt and len(v.ratios) < repeats]


def table(times: Sequence[TimeVerdict], exact: Sequence[ExactVerdict]) -> str:
    """Return both as Markdown."""
    lines = [
        "| time of one call | base us | head us | head / base | limit | |",
        "|---|---|---|---|---|---|",
    ]
    for time in times:
        ratios = " ".join(f"{ratio:.3f}" for ratio in time.ratios)
        mark = "SLOWER" if time.is_slower else ""
        figures = f"{time.base_us:.1f} | {time.head_us:.1f} | {ratios} | {time.limit:.2f}"
        lines.append(f"| {time.case} | {figures} | {mark} |")
    lines += ["", "| size or memory | base | head | head - base | |", "|---|---|---|---|---|"]
    for size in exact:
        mark = "LARGER" if size.is_larger else ""
        figures = f"{size.base:,} | {size.head:,} | {size.head - size.base:+,}"
        lines.append(f"| {size.case} | {figures} | {mark} |")
    return "\n".join(lines)
