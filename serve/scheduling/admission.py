"""The rule of the queues: a request waits only where it starts in time."""

import math
from dataclasses import dataclass

from serve.errors import OverloadedError
from serve.scheduling.slots import Slots


@dataclass(frozen=True, slots=True)
class Limits:
    """The most work that waits."""

    queue_s: float  # until a request starts
    queue_requests: int  # of one model
    timeout_s: float  # until a request starts, whatever the queue


def check_admission(
    slots: Slots,
    model: str,
    turn_s: float,
    limits: Limits,
    *,
    left_s: float | None = None,
    arriving: int = 0,
    slack: float = 1.0,
) -> None:
    """Raise OverloadedError if a request would not start in time.

    Args:
        slots: in which it runs.
        model: whose queue it joins.
        turn_s: that it is expected to take.
        limits: of the queues.
        left_s: that it may wait by its own timeout; None if it has none.
        arriving: requests for the model that will be there first.
        slack: times the limits of the queue.
    """
    wait_s = slots.expected_wait_s(model, turn_s, arriving=arriving)
    waiting = slots.waiting(model) + arriving
    most_s = limits.timeout_s if left_s is None else min(left_s, limits.timeout_s)
    # one request per slot may wait for longer, or a slow model would have no queue
    if waiting >= slots.count:
        most_s = min(most_s, slack * limits.queue_s)
    if wait_s > most_s:
        raise OverloadedError(
            f"{waiting} requests wait for {model}, and another would start in about "
            f"{wait_s:.3g} s; allowed: {most_s:.3g} s; try again later",
            reason="queue",
            retry_after_s=math.ceil(wait_s),
        )
    if wait_s and waiting >= slack * limits.queue_requests:
        raise OverloadedError(
            f"every CPU is busy, and {waiting} requests wait for {model}; allowed to wait: "
            f"{limits.queue_requests}; try again later",
            reason="queue",
            retry_after_s=math.ceil(wait_s),
        )
