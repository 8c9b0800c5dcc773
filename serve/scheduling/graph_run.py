"""The record of one run of a graph, for counters."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GraphRun:
    """The part of one request in one run of a graph."""

    model: str  # id
    rows: int  # of the request
    batch_rows: int  # of the run, with those of other requests that shared it
    seconds: float  # of the whole run

    @property
    def fraction(self) -> float:
        """Return the part of the run that counts for the request."""
        return self.rows / self.batch_rows if self.batch_rows else 1.0
