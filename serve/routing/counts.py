"""Counts of the answers of each version since the route of its model changed."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

CONFIDENT = 0.5  # the least confidence of the top class that counts
BINS = 32  # of seconds: bin i holds answers below 1.5 ** i ms that no bin before holds
GROWTH = 1.5
MOST_LABELS = 64  # that are counted apart
OTHER = "<other>"


@dataclass(slots=True)
class VersionCounts:
    """The answers of one version. A request of several files counts once for each of them."""

    answers: int = 0
    errors: int = 0  # faults of the server, not of requests
    seconds: float = 0.0  # of all answers, from the parsed request to the result
    bins: list[int] = field(default_factory=lambda: [0] * BINS)
    classified: int = 0  # answers that have a top class
    confident: int = 0  # of those, with a confidence of at least CONFIDENT
    labels: dict[str, int] = field(default_factory=dict)  # by top class
    correct: int = 0  # outcomes that were reported
    wrong: int = 0

    def add(self, seconds: float, label: str | None, confidence: float | None) -> None:
        """Count an answer; label and confidence are those of the top class, if it has one."""
        self.answers += 1
        self.seconds += seconds
        self.bins[bin_of(seconds)] += 1
        if label is None or confidence is None:
            return
        self.classified += 1
        self.confident += confidence >= CONFIDENT
        name = label if label in self.labels or len(self.labels) < MOST_LABELS else OTHER
        self.labels[name] = self.labels.get(name, 0) + 1


def bin_of(seconds: float) -> int:
    """Return the bin of a duration."""
    bound_s, index = 0.001, 0
    while seconds >= bound_s and index < BINS - 1:
        bound_s, index = bound_s * GROWTH, index + 1
    return index


@dataclass(frozen=True, slots=True)
class ModelCounts:
    """The counts of the versions of one model."""

    since_s: float  # since 1970
    versions: Mapping[int, VersionCounts] = field(default_factory=dict)


class Counts:
    """The counts of all models. Safe to use from several threads at once."""

    def __init__(self) -> None:
        """Begin without any."""
        self._lock = threading.Lock()
        self._models: dict[str, dict[int, VersionCounts]] = {}
        self._since_s: dict[str, float] = {}
        self._start_s = time.time()

    def begin(self, model_id: str) -> None:
        """Begin anew: the route of a model changed, and what was before cannot be compared."""
        with self._lock:
            self._models.pop(model_id, None)
            self._since_s[model_id] = time.time()

    def answer(
        self,
        model_id: str,
        version: int,
        seconds: float,
        *,
        label: str | None = None,
        confidence: float | None = None,
    ) -> None:
        """Count an answer."""
        with self._lock:
            self._of(model_id, version).add(seconds, label, confidence)

    def error(self, model_id: str, version: int) -> None:
        """Count a request that got an error which is not its own."""
        with self._lock:
            self._of(model_id, version).errors += 1

    def outcome(self, model_id: str, version: int, *, correct: int, wrong: int) -> None:
        """Count what became of answers, as somebody knows who saw the truth."""
        with self._lock:
            counts = self._of(model_id, version)
            counts.correct += correct
            counts.wrong += wrong

    def of(self, model_id: str) -> ModelCounts:
        """Return a copy of the counts of a model."""
        with self._lock:
            versions = {
                number: replace(counts, bins=list(counts.bins), labels=dict(counts.labels))
                for number, counts in self._models.get(model_id, {}).items()
            }
        return ModelCounts(self._since_s.get(model_id, self._start_s), versions)

    def _of(self, model_id: str, version: int) -> VersionCounts:
        return self._models.setdefault(model_id, {}).setdefault(version, VersionCounts())
