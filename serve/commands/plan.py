"""`python -m serve plan`: how many replicas a load needs, from the artifacts' measurements."""

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runtime.engine.resources import cpu_count, memory_limit_mib
from runtime.errors import InputError, SlipwayError
from serve.commands.planning.load import (
    add_load_options,
    parse_positive,
    parse_share,
    parse_utilisation,
    read_load,
)
from serve.commands.planning.measured import ModelCost
from serve.commands.planning.sizing import Demand, Goal, Machine, Plan, make_plan
from serve.repository.memory.budget import MIB
from serve.settings import Settings

MOST_RUNS = 256  # of SLIPWAY_RUNS
_NOTES = (
    "The wait is that of M/G/k by Allen and Cunneen with an exponential tail; arrivals are taken",
    "as Poisson and spread evenly, and each model's service time as constant.",
)


def main(arguments: Sequence[str]) -> int:
    """Print the plan.

    Returns:
        0 if everything fits; 1 if something does not, or the arguments are refused.
    """
    options = _parser().parse_args(arguments)
    try:
        shares, costs = read_load(options, _measured(options.costs))
        machine = _machine(options)
        demands = _demands(costs, shares, options)
    except SlipwayError as error:
        print(f"plan: {error}", file=sys.stderr)
        return 1
    goal = Goal(
        p99_s=options.p99 / 1000 if options.p99 else None,
        utilisation=options.utilisation,
        queue_s=float(Settings().queue_s),
    )
    plan = make_plan(demands, machine, goal)
    print(json.dumps(_content(plan, demands)) if options.json else _text(plan, demands, machine))
    return 1 if plan.problems else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serve plan", description=__doc__)
    add_load_options(parser)
    parser.add_argument(
        "--memory", type=int, help="MiB of a replica (default: the limit of this cgroup, or 512)"
    )
    parser.add_argument("--cpus", type=int, help="CPUs of a replica (default: those of this one)")
    parser.add_argument("--runs", type=int, default=0, help="SLIPWAY_RUNS (default: CPUs)")
    parser.add_argument(
        "--p99", type=parse_positive, help="goal in ms for each model (default: none)"
    )
    parser.add_argument(
        "--utilisation",
        type=parse_utilisation,
        default=0.7,
        help="of the CPUs, at most (default: 0.7)",
    )
    parser.add_argument(
        "--hit-rate",
        type=parse_share,
        default=0.0,
        help="share of the requests that SLIPWAY_CACHE answers, of the tasks that it stores "
        "(default: 0)",
    )
    parser.add_argument(
        "--costs", type=Path, help="a file with the answer of GET /v1/memory: measured memory"
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    return parser


def _measured(path: Path | None) -> Mapping[str, Any] | None:
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["models"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no answer of GET /v1/memory: {error!r}") from None
    return dict(content)


def _machine(options: argparse.Namespace) -> Machine:
    memory = options.memory if options.memory is not None else int(memory_limit_mib() or 512)
    cpus = options.cpus if options.cpus is not None else cpu_count()
    for name, number, least in (("--memory", memory, 64), ("--cpus", cpus, 1)):
        if number < least:
            raise InputError(f"{name} is {number}; allowed: {least} or more")
    if not 0 <= options.runs <= MOST_RUNS:
        raise InputError(f"--runs is {options.runs}; allowed: 0 to {MOST_RUNS}")
    return Machine(memory, min(cpus, MOST_RUNS), options.runs)


def _demands(
    costs: Sequence[ModelCost], shares: Mapping[str, float], options: argparse.Namespace
) -> list[Demand]:
    stored = Settings().cache
    demands = []
    for cost in costs:
        rate = options.rps * shares[cost.id]
        hits = options.hit_rate if cost.task in stored else 0.0
        service_s = (cost.run_ms + options.around_ms) / 1000
        demands.append(Demand(cost, rate, rate * (1 - hits), service_s))
    return demands


def _content(plan: Plan, demands: Sequence[Demand]) -> dict[str, Any]:
    return {
        "replicas": plan.replicas,
        "runs": plan.runs,
        "utilisation": round(plan.queue.utilisation, 4),
        "wait_mean_s": plan.queue.mean_wait_s,
        "needed_bytes": plan.needed_bytes,
        "allowed_bytes": plan.allowed_bytes,
        "models": {
            one.cost.id: {
                "rate": one.rate,
                "service_s": one.service_s,
                **asdict(plan.latencies[one.cost.id]),
                "kept_bytes": one.cost.kept_bytes,
                "run_bytes": one.cost.run_bytes,
                "memory": one.cost.memory_source,
            }
            for one in demands
        },
        "problems": plan.problems,
        "hints": plan.hints,
    }


def _text(plan: Plan, demands: Sequence[Demand], machine: Machine) -> str:
    rate = sum(one.rate for one in demands)
    needed, allowed = math.ceil(plan.needed_bytes / MIB), plan.allowed_bytes // MIB
    lines = [
        f"{rate:g} requests/s: {plan.replicas} x {machine.cpus} CPUs and {machine.memory_mib} MiB, "
        f"{plan.runs} runs at once, {plan.queue.utilisation:.0%} busy",
        f"memory of a replica: {needed} MiB of {allowed} that may be taken",
        f"{'model':30} {'req/s':>9} {'service':>9} {'p50':>9} {'p99':>9} {'keeps':>9} {'run':>9}",
    ]
    for one in demands:
        latency = plan.latencies[one.cost.id]
        times = (one.service_s, latency.p50_s, latency.p99_s)
        cells = [f"{one.rate:.4g}", *(f"{1000 * time_s:.1f}ms" for time_s in times)]
        cells += [f"{size / MIB:.0f}MiB" for size in (one.cost.kept_bytes, one.cost.run_bytes)]
        lines.append(f"{one.cost.id:30} " + " ".join(f"{cell:>9}" for cell in cells))
    lines += [f"DOES NOT FIT: {problem}" for problem in plan.problems]
    lines += [f"note: {hint}" for hint in plan.hints]
    return "\n".join([*lines, *_NOTES])
