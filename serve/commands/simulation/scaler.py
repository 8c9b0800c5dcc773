"""The autoscaler: replicas follow a load that lasts, averaged over a while."""

from collections import deque
from dataclasses import dataclass, field

from serve.commands.planning.scaling import Target, replicas_for


@dataclass(frozen=True, slots=True)
class Scaling:
    """The rules by which the number of replicas follows the load."""

    target: Target
    least: int = 1
    most: int = 4
    period_s: float = 1.0  # between two decisions
    look_back_s: float = 10.0  # over which the load is averaged
    up_delay_s: float = 5.0  # for which it must be too high
    down_delay_s: float = 300.0  # for which it must be too low
    start_s: float = 20.0  # until a new replica is ready


@dataclass(slots=True)
class Scaler:
    """The autoscaler, between two decisions."""

    scaling: Scaling
    loads: deque[tuple[float, float, float]] = field(default_factory=deque)  # time, busy, waiting_s
    direction: int = 0  # of the change that is pending
    since_s: float = 0.0

    def decide(self, now_s: float, busy: float, waiting_s: float, replicas: int) -> int:
        """Return how many replicas there shall be.

        Args:
            now_s: seconds that only grow.
            busy: slots that were taken since the last decision, on average.
            waiting_s: seconds of work that wait now.
            replicas: that there are, or that are starting.
        """
        scaling = self.scaling
        self.loads.append((now_s, busy, waiting_s))
        while self.loads[0][0] < now_s - scaling.look_back_s:
            self.loads.popleft()
        count = len(self.loads)
        mean_busy = sum(load[1] for load in self.loads) / count
        mean_waiting_s = sum(load[2] for load in self.loads) / count
        needed = replicas_for(mean_busy, mean_waiting_s, scaling.target)
        needed = min(max(needed, scaling.least), scaling.most)
        direction = (needed > replicas) - (needed < replicas)
        if direction != self.direction:
            self.direction, self.since_s = direction, now_s
        delay_s = scaling.up_delay_s if direction > 0 else scaling.down_delay_s
        if not direction or now_s - self.since_s < delay_s:
            return replicas
        self.direction = 0
        return needed
