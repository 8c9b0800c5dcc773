"""The number of replicas for a load, and the room that a replica has for its models."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from serve.commands.planning.measured import ModelCost
from serve.commands.planning.queueing import Queue, Stream, queue_of
from serve.repository.memory.budget import CLIP_BYTES, MIB, WORK_BYTES, Limit

BASE_BYTES = 64 * MIB  # the process without models; 49 measured in November 2026
DECODER_BYTES = {  # of one process that decodes; None else
    "video-classification": 30 * MIB + CLIP_BYTES,
    "audio-classification": 17 * MIB,
}
MOST_REPLICAS = 10**6


@dataclass(frozen=True, slots=True)
class Machine:
    """One replica: a process with its own copy of the models."""

    memory_mib: int
    cpus: int
    runs: int = 0  # SLIPWAY_RUNS; 0: as many as CPUs

    @property
    def allowed_bytes(self) -> int:
        """Return what the server plans with: the limit without its reserve."""
        return Limit("", self.memory_mib * MIB, lambda: 0).allowed_bytes


@dataclass(frozen=True, slots=True)
class Demand:
    """The requests of one model."""

    cost: ModelCost
    rate: float  # a second, all of them
    computed_rate: float  # without those that the cache answers
    service_s: float  # in a slot: the run, and what surrounds it


@dataclass(frozen=True, slots=True)
class Goal:
    """The limits of the plan."""

    p99_s: float | None  # of each model; None: none
    utilisation: float  # of the slots, at most
    queue_s: float  # SLIPWAY_QUEUE_SECONDS: beyond it requests are refused


@dataclass(frozen=True, slots=True)
class Latency:
    """The expected time of the answers of one model."""

    p50_s: float
    p99_s: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The result. `problems` is empty if the load is served."""

    replicas: int
    runs: int  # of a replica, in parallel
    queue: Queue  # of one replica
    latencies: dict[str, Latency]
    needed_bytes: int  # of a replica
    allowed_bytes: int
    problems: tuple[str, ...]  # what does not fit, and what to change
    hints: tuple[str, ...]  # what would be cheaper, or is assumed


def memory_bytes(costs: Sequence[ModelCost], runs: int) -> int:
    """Return what a replica takes with all models loaded and every run at its peak."""
    kept = sum(cost.kept_bytes for cost in costs)
    run = max((cost.run_bytes for cost in costs), default=0)
    decoders = sum(DECODER_BYTES.get(task, 0) for task in {cost.task for cost in costs})
    return BASE_BYTES + kept + runs * (run + WORK_BYTES) + decoders


def fitting_runs(costs: Sequence[ModelCost], machine: Machine) -> int:
    """Return how many runs in parallel have room; 0 if not even one has."""
    most = machine.runs or machine.cpus
    fits = (n for n in range(most, 0, -1) if memory_bytes(costs, n) <= machine.allowed_bytes)
    return next(fits, 0)


def make_plan(demands: Sequence[Demand], machine: Machine, goal: Goal) -> Plan:
    """Return the smallest number of replicas that keeps the goal, each with all models."""
    costs = [demand.cost for demand in demands]
    most = machine.runs or machine.cpus
    fitting = fitting_runs(costs, machine)
    problems = [] if fitting else list(_memory_problems(costs, machine))
    runs = fitting or most
    replicas, queue = _replicas(demands, runs, goal)
    latencies = {one.cost.id: _latency(one, queue) for one in demands}
    problems += _time_problems(demands, latencies, queue, goal)
    return Plan(
        replicas=replicas,
        runs=runs,
        queue=queue,
        latencies=latencies,
        needed_bytes=memory_bytes(costs, runs),
        allowed_bytes=machine.allowed_bytes,
        problems=tuple(problems),
        hints=tuple(_hints(demands, runs, most, queue)),
    )


def _queue(demands: Sequence[Demand], runs: int, replicas: int) -> Queue:
    streams = [Stream(one.computed_rate / replicas, one.service_s) for one in demands]
    return queue_of(streams, runs)


def _latency(demand: Demand, queue: Queue) -> Latency:
    return Latency(*(demand.service_s + queue.wait_s(quantile) for quantile in (0.5, 0.99)))


def _replicas(demands: Sequence[Demand], runs: int, goal: Goal) -> tuple[int, Queue]:
    """Return the fewest replicas, and the queue of one; of an unreachable goal, by load alone."""
    load = sum(one.computed_rate * one.service_s for one in demands)
    least = max(1, math.ceil(load / (goal.utilisation * runs) - 1e-9))

    def keeps(replicas: int) -> bool:
        queue = _queue(demands, runs, replicas)
        slowest_s = max(_latency(one, queue).p99_s for one in demands)
        return queue.wait_s(0.99) <= goal.queue_s and slowest_s <= (goal.p99_s or math.inf)

    low, high = least, least
    while not keeps(high):
        low, high = high + 1, 2 * high
        if high > MOST_REPLICAS:
            return least, _queue(demands, runs, least)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if keeps(middle) else (middle + 1, high)
    return low, _queue(demands, runs, low)


def _memory_problems(costs: Sequence[ModelCost], machine: Machine) -> list[str]:
    """Return sentences about models that have no room even with one run at a time."""
    allowed = machine.allowed_bytes
    alone = {cost.id: memory_bytes([cost], 1) for cost in costs}
    problems = [
        f"{name} needs {_mib(needed)} MiB by itself, and {allowed // MIB} of {machine.memory_mib} "
        f"may be taken: give it a machine of {_least_mib(needed)} MiB, or convert a smaller model"
        for name, needed in alone.items()
        if needed > allowed
    ]
    if problems:
        return problems
    together = memory_bytes(costs, 1)
    groups = "; ".join(", ".join(group) for group in _groups(costs, allowed))
    return [
        f"the models need {_mib(together)} MiB together, and {allowed // MIB} of "
        f"{machine.memory_mib} may be taken: give them {_least_mib(together)} MiB, split them "
        f"over servers ({groups}), or set SLIPWAY_LAZY=all, and each change of model costs its load"
    ]


def _groups(costs: Sequence[ModelCost], allowed: int) -> list[list[str]]:
    """Return models that fit together: the largest first, each into the first group with room."""
    groups: list[list[ModelCost]] = []
    for cost in sorted(costs, key=lambda one: memory_bytes([one], 1), reverse=True):
        for group in groups:
            if memory_bytes([*group, cost], 1) <= allowed:
                group.append(cost)
                break
        else:
            groups.append([cost])
    return [[cost.id for cost in group] for group in groups]


def _time_problems(
    demands: Sequence[Demand], latencies: dict[str, Latency], queue: Queue, goal: Goal
) -> list[str]:
    if goal.p99_s is None:
        return []
    return [
        f"{one.cost.id} takes {1000 * one.service_s:.3g} ms without any wait, and the goal is "
        f"{1000 * goal.p99_s:.3g}: raise SLIPWAY_THREADS, convert it to INT8 or a smaller input, "
        "or take a faster CPU"
        if one.service_s > goal.p99_s
        else f"{one.cost.id} has a p99 of {1000 * latencies[one.cost.id].p99_s:.3g} ms behind "
        "slower models: serve it apart"
        for one in demands
        if latencies[one.cost.id].p99_s > goal.p99_s
    ]


def _hints(demands: Sequence[Demand], runs: int, most: int, queue: Queue) -> list[str]:
    hints = []
    if runs < most:
        hints.append(
            f"memory has room for {runs} of {most} runs at once: set SLIPWAY_RUNS={runs}, or give "
            "more memory"
        )
    hints += [
        f"{one.cost.id} computes {one.cost.batch_gain:.2f} x as many rows a second in batches, "
        "which is not counted here"
        for one in demands
        if one.cost.batch_gain >= 1.05
    ]
    times = [one.service_s for one in demands]
    if max(times) >= 2 * min(times):
        hints.append(
            "the server takes models in fair order, and M/G/k takes the first that came: short "
            "ones wait less than this, long ones more; python -m serve simulate has the fair order"
        )
    assumed = [one.cost.id for one in demands if one.cost.memory_source == "assumed"]
    if assumed:
        hints.append(
            f"the memory of a run of {', '.join(assumed)} is assumed; measure it: save the answer "
            "of GET /v1/memory and name it with --costs"
        )
    return hints


def _mib(size_bytes: int) -> int:
    return math.ceil(size_bytes / MIB)


def _least_mib(needed_bytes: int) -> int:
    """Return the smallest limit, in steps of 64 MiB, of which so much may be taken."""
    mib = 64
    while Machine(mib, 1).allowed_bytes < needed_bytes:
        mib += 64
    return mib
