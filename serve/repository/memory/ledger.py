"""The cost of each model in memory, as it was measured when it was loaded."""

from dataclasses import dataclass
from typing import TypedDict

from serve.repository.memory.budget import MIB

# before the first load of a model: weights, a copy while they are packed, one run
_FIRST_TIMES_SIZE, _FIRST_BYTES = 2, 96 * MIB


class CostJson(TypedDict):
    """The memory that a model takes, as it was measured when it was loaded."""

    kept_bytes: int
    kept_pss_bytes: int
    load_peak_bytes: int
    run_peak_bytes: int
    load_s: float
    measured_alone: bool


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one load. Other work meanwhile makes it inexact: `alone` is then False.

    Memory is anonymous: it comes from no file, so no page of a library that the process shares
    counts, or that the first model happened to touch.
    """

    kept_bytes: int  # that the model keeps, with the free heap given back before and after
    pss_bytes: int  # the same with the process's share of the pages of files
    load_peak_bytes: int  # the most while it was loaded and run once, over that before
    run_peak_bytes: int  # the most during the run, over what it keeps
    feed_bytes: int  # of the inputs of that run
    seconds: float
    alone: bool

    def to_json(self) -> CostJson:
        """Return the fields for GET /v1/memory."""
        return {
            "kept_bytes": self.kept_bytes,
            "kept_pss_bytes": self.pss_bytes,
            "load_peak_bytes": self.load_peak_bytes,
            "run_peak_bytes": self.run_peak_bytes,
            "load_s": round(self.seconds, 3),
            "measured_alone": self.alone,
        }


class Ledger:
    """The costs by model. Safe to use from several threads at once."""

    def __init__(self) -> None:
        """Begin without any."""
        self._costs: dict[str, Cost] = {}
        self.peak_mib = 0.0  # resident memory at most, before the last load

    def note_peak(self, peak_mib: float | None) -> None:
        """Keep the peak of the process before a measurement begins it anew; None: unknown."""
        self.peak_mib = max(self.peak_mib, peak_mib or 0.0)

    def record(self, model_id: str, cost: Cost) -> None:
        """Keep the cost of a load; one that was measured alone is not replaced by another."""
        before = self._costs.get(model_id)
        if before is None or cost.alone or not before.alone:
            self._costs[model_id] = cost

    def cost(self, model_id: str) -> Cost | None:
        """Return what a model cost; None if it was never loaded."""
        return self._costs.get(model_id)

    @property
    def largest_run_bytes(self) -> int:
        """Return the memory of the largest first run of a model; 0 before any load."""
        return max((cost.run_peak_bytes for cost in self._costs.values()), default=0)

    def kept_bytes(self, model_id: str) -> int:
        """Return what a loaded model keeps."""
        cost = self._costs.get(model_id)
        return cost.kept_bytes if cost else 0

    def load_bytes(self, model_id: str, size_bytes: int, mapped_bytes: int = 0) -> int:
        """Return the memory to load a model in: measured, else estimated from its files.

        Args:
            model_id: the model.
            size_bytes: of the ONNX file.
            mapped_bytes: of the file of its weights, plain and packed. Where this CPU packs them
                otherwise they are not mapped, and half of it is taken.
        """
        cost = self._costs.get(model_id)
        if cost is None:
            return _FIRST_TIMES_SIZE * size_bytes + mapped_bytes // 2 + _FIRST_BYTES
        return cost.load_peak_bytes

    def run_bytes(self, model_id: str, feed_bytes: int) -> int:
        """Return the memory of one run: that of the first one, more for larger inputs."""
        cost = self._costs.get(model_id)
        if cost is None:
            return 0
        return int(cost.run_peak_bytes * max(1.0, feed_bytes / max(1, cost.feed_bytes)))
