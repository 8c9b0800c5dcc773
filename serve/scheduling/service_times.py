"""Estimate how long a request takes, from the requests before it."""

from collections.abc import Callable

DEFAULT_S = 0.1  # of work that was never timed: 40 requests fit into 2 s of two CPUs
_WEIGHT = 1 / 8  # of the newest time; the first ones weigh more, as in a mean
_LEAST_S = 1e-6
_OUTLIER = 4.0  # times the estimate: a longer time counts as this much


class ServiceTimes:
    """A running mean of seconds by kind of work. Safe to use from several threads at once.

    A time far over the mean counts as four times the mean: one pause of the machine does not refuse
    the requests after it, and a lasting change is followed within a few requests.
    """

    def __init__(self) -> None:
        """Begin without times."""
        self._means: dict[str, tuple[float, int]] = {}  # seconds, and how many times they come from

    def expected_s(self, kind: str, first: Callable[[], float | None] = lambda: None) -> float:
        """Return the seconds that a piece of work of this kind is expected to take.

        Args:
            kind: of work.
            first: returns the seconds of work that was never timed; None for DEFAULT_S.
        """
        if kind in self._means:
            return self._means[kind][0]
        first_s = first()
        return DEFAULT_S if first_s is None else max(first_s, _LEAST_S)

    def observe(self, kind: str, seconds: float) -> None:
        """Count the time of a piece of work that ended well."""
        mean, count = self._means.get(kind, (seconds, 0))
        seconds = min(seconds, _OUTLIER * mean)
        mean += (seconds - mean) * max(_WEIGHT, 1 / (count + 1))
        self._means[kind] = max(mean, _LEAST_S), count + 1
