"""`python -m serve plan`: how many replicas a load needs, from the artifacts' measurements."""

import argparse
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runtime.artifact.manifest import newest_versions
from runtime.engine.resources import cpu_count, memory_limit_mib
from runtime.errors import InputError, SlipwayError
from serve.commands.planning.measured import ModelCost, read_costs
from serve.commands.planning.sizing import Demand, Goal, Machine, Plan, make_plan
from serve.repository.memory.budget import MIB
from serve.repository.pulled import open_manifests
from serve.settings import Settings, from_environment
from serve.settings.kinds import ARTIFACTS

# MobileNetV2 runs for 1.2 ms, and a server on two CPUs answered at most 276 requests a second (8
# clients, their generator on the same CPUs): 7.2 ms of a CPU each
AROUND_MS = 6.0
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
        artifacts = ARTIFACTS.read("--artifacts", options.artifacts)
        with open_manifests(artifacts, from_environment(os.environ)) as directory:
            shares = _shares(options.models or list(newest_versions(directory)))
            costs = read_costs(directory, tuple(shares), _measured(options.costs))
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
    parser.add_argument(
        "--models",
        nargs="+",
        metavar="MODEL[=SHARE]",
        help="models, each with its share of the requests, 3 to 1 as a=3 b=1 (default: all, "
        "with equal shares)",
    )
    parser.add_argument(
        "--rps", type=_positive, required=True, help="requests a second, of all models together"
    )
    parser.add_argument(
        "--memory", type=int, help="MiB of a replica (default: the limit of this cgroup, or 512)"
    )
    parser.add_argument("--cpus", type=int, help="CPUs of a replica (default: those of this one)")
    parser.add_argument("--runs", type=int, default=0, help="SLIPWAY_RUNS (default: CPUs)")
    parser.add_argument("--p99", type=_positive, help="goal in ms for each model (default: none)")
    parser.add_argument(
        "--utilisation", type=_share, default=0.7, help="of the CPUs, at most (default: 0.7)"
    )
    parser.add_argument(
        "--hit-rate",
        type=_share,
        default=0.0,
        help="share of the requests that SLIPWAY_CACHE answers, of the tasks that it stores "
        "(default: 0)",
    )
    parser.add_argument(
        "--around-ms",
        type=_positive,
        default=AROUND_MS,
        help="ms of a CPU for HTTP, decoding and JSON of a request, beside the run "
        f"(default: {AROUND_MS:g}, as measured with MobileNetV2)",
    )
    parser.add_argument(
        "--costs", type=Path, help="a file with the answer of GET /v1/memory: measured memory"
    )
    parser.add_argument(
        "--artifacts",
        metavar=ARTIFACTS.metavar,
        default=os.environ.get("SLIPWAY_ARTIFACTS") or "artifacts",
        help="directory of the models, or oci://... of a registry, whose manifests alone are "
        "downloaded (default: SLIPWAY_ARTIFACTS, or artifacts)",
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 up to 1, without 1")
    return value


def _shares(words: Sequence[str]) -> dict[str, float]:
    """Return the share of each model, all together 1.

    Raises:
        InputError: a share is not a number above 0.
    """
    weights = {}
    for word in words:
        name, _, text = word.partition("=")
        try:
            weights[name] = float(text or "1")
        except ValueError:
            weights[name] = 0.0
        if not (weights[name] > 0 and math.isfinite(weights[name])):
            raise InputError(f"the share of {name} is {text!r}; allowed: a number above 0")
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


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
