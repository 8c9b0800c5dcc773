"""The rows that a check prints: what was asked, what came, and whether it is as it should be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.client import Reply

MARGIN = 1e-3  # for other CPUs' rounding of what stays in float


@dataclass(frozen=True, slots=True)
class Allowed:
    """How far from the reference an answer may be, MARGIN aside."""

    mean: float
    largest: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    route: str
    reply: Reply
    problem: str = ""  # empty: as it should be
    difference: float | None = None  # from the reference, largest absolute

    def cells(self) -> tuple[str, ...]:
        """Route, status, milliseconds, weights, difference, verdict."""
        difference = "" if self.difference is None else f"{self.difference:.1e}"
        weights = self.reply.headers.get("x-model-weights", "")
        milliseconds = f"{self.reply.milliseconds:.1f}"
        verdict = self.problem or "ok"
        return self.route, str(self.reply.status), milliseconds, weights, difference, verdict


HEADINGS = ("route", "status", "ms", "weights", "difference", "")


def print_table(rows: Sequence[Row]) -> None:
    """The rows, aligned."""
    cells = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(HEADINGS))]
    for line in cells:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )


def compared(
    route: str, reply: Reply, expected: NDArray[Any], found: NDArray[Any], allowed: Allowed
) -> Row:
    """Numbers against numbers, of equal shape and at least one."""
    if reply.status != 200:
        return unreadable(route, reply)
    if expected.shape != found.shape:
        return Row(route, reply, f"shape {found.shape}; expected {expected.shape}")
    differences = np.abs(expected - found)
    mean, largest = float(differences.mean()), float(differences.max())
    if mean <= allowed.mean + MARGIN and largest <= allowed.largest + MARGIN:
        return Row(route, reply, difference=largest)
    problem = (
        f"mean {mean:.1e}, largest {largest:.1e}; "
        f"allowed {allowed.mean + MARGIN:.1e} and {allowed.largest + MARGIN:.1e}"
    )
    return Row(route, reply, problem, largest)


def unreadable(route: str, reply: Reply, reason: str = "not the answer of this route") -> Row:
    """An answer that cannot be compared, with its beginning."""
    reason = reason if reply.status == 200 else f"status {reply.status}"
    return Row(route, reply, f"{reason}: {reply.body[:120]!r}")


def report(rows: Sequence[Row]) -> int:
    """Print the table and how many rows are as they should be; gives the exit code."""
    print_table(rows)
    problems = sum(1 for row in rows if row.problem)
    print(f"{len(rows) - problems} of {len(rows)} as verified at conversion")
    return 1 if problems else 0
