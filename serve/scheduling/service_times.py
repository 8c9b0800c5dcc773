"""Estimate how long a request takes, from the requests before it."""

DEFAULT_S = 0.1  # of work that was never timed: 40 requests fit into 2 s of two CPUs
_WEIGHT = 1 / 8  # of the newest time; the first ones weigh more, as in a mean
_OUTLIER = 4.0  # times the estimate: a longer time counts as this much


class ServiceTimes:
    """A running mean of seconds by kind of work. Safe to use from several threads at once.

    A time far over the mean counts as four times the mean: one pause of the machine does not refuse
    the requests after it, and a lasting change is followed within a few requests.
    """

    def __init__(self) -> None:
        """Begin without times."""
        self._means: dict[str, tuple[float, int]] = {}  # seconds, and how many times they come from

    def expected_s(self, kind: str) -> float:
        """Return the seconds that a piece of work of this kind is expected to take."""
        return self._means.get(kind, (DEFAULT_S, 0))[0]

    def observe(self, kind: str, seconds: float) -> None:
        """Count the time of a piece of work that ended well."""
        mean, count = self._means.get(kind, (seconds, 0))
        seconds = min(seconds, _OUTLIER * mean)
        mean += (seconds - mean) * max(_WEIGHT, 1 / (count + 1))
        self._means[kind] = max(mean, 1e-6), count + 1

    def seed(self, kind: str, seconds: float) -> None:
        """Set the time of work that was not observed yet, for example from a run at start-up."""
        self._means.setdefault(kind, (max(seconds, 1e-6), 1))
