"""The replicas that a load needs, which was measured a moment ago."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """The state that replicas are kept in."""

    slots: float = 1  # of a replica, in which requests run
    utilisation: float = 0.7  # of the slots
    queue_s: float = 0.25  # in which the work that waits now shall be done


def replicas_for(busy: float, waiting_s: float, target: Target) -> int:
    """Return the replicas for a load, at least 1.

    Args:
        busy: slots that are taken, on average.
        waiting_s: seconds of work in a slot that wait, of all replicas.
        target: of each replica.
    """
    slots = busy / target.utilisation + waiting_s / target.queue_s
    return max(1, math.ceil(slots / target.slots - 1e-9))
