"""`python -m serve simulate`: what a load does to replicas, from the artifacts' measurements."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime.engine.resources import cpu_count
from runtime.errors import SlipwayError
from serve.commands.planning.load import (
    add_load_options,
    parse_positive,
    parse_utilisation,
    read_load,
)
from serve.commands.planning.scaling import Target
from serve.commands.simulation.arrivals import Arrival, Source, constant, poisson, read_arrivals
from serve.commands.simulation.fleet import Fleet, Outcome, quantile, simulate
from serve.commands.simulation.replica import End
from serve.commands.simulation.scaler import Scaling
from serve.scheduling.admission import Limits
from serve.settings import Settings

MOST_REPLICAS = 1000
SHOWN = 20  # changes of the number of replicas


def main(arguments: Sequence[str]) -> int:
    """Print what happens to the requests.

    Returns:
        0 if each was answered; 1 if some were not, or the arguments are refused.
    """
    options = _parser().parse_args(arguments)
    try:
        arrivals = _arrivals(options)
    except SlipwayError as error:
        print(f"simulate: {error}", file=sys.stderr)
        return 1
    outcome = simulate(arrivals, _fleet(options))
    content = content_of(outcome, arrivals)
    print(json.dumps(content) if options.json else "\n".join(_lines(content)))
    return 0 if outcome.ends[End.ANSWERED] == len(arrivals) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serve simulate", description=__doc__)
    add_load_options(parser)
    parser.add_argument(
        "--arrivals",
        type=Path,
        help="CSV file of SECONDS,MODEL in place of Poisson arrivals at --rps",
    )
    parser.add_argument("--seconds", type=parse_positive, default=600.0, help="default: 600")
    parser.add_argument("--seed", type=int, default=1, help="of all chance (default: 1)")
    parser.add_argument("--replicas", type=_replicas, default=1, help="at the start (default: 1)")
    parser.add_argument(
        "--most", type=_replicas, default=0, help="replicas; with it, they follow the load"
    )
    parser.add_argument(
        "--runs", type=_replicas, default=cpu_count(), help="of a replica at once (default: CPUs)"
    )
    parser.add_argument(
        "--balance",
        choices=("round-robin", "least-open"),
        default="round-robin",
        help="of the balancer (default: round-robin)",
    )
    scaling = Scaling(Target())
    for name, default, text in (
        ("--utilisation", scaling.target.utilisation, "of the runs, that replicas are kept at"),
        ("--queue-seconds", scaling.target.queue_s, "in which waiting work shall be done"),
        ("--up-delay", scaling.up_delay_s, "seconds of too much load until replicas start"),
        ("--down-delay", scaling.down_delay_s, "seconds of too little until they end"),
        ("--look-back", scaling.look_back_s, "seconds over which the load is averaged"),
        ("--start-seconds", scaling.start_s, "until a new replica is ready"),
    ):
        kind = parse_utilisation if name == "--utilisation" else parse_positive
        parser.add_argument(name, type=kind, default=default, help=f"{text} (default: {default:g})")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    return parser


def _replicas(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MOST_REPLICAS:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to {MOST_REPLICAS}")
    return number


def _arrivals(options: argparse.Namespace) -> list[Arrival]:
    shares, costs = read_load(options)
    draws = {cost.id: constant((cost.run_ms + options.around_ms) / 1000) for cost in costs}
    if options.arrivals is not None:
        return read_arrivals(options.arrivals, draws, options.seed)
    sources = [Source(name, options.rps * share, draws[name]) for name, share in shares.items()]
    return poisson(sources, options.seconds, options.seed)


def _fleet(options: argparse.Namespace) -> Fleet:
    settings = Settings()
    scaling = None
    if options.most:
        scaling = Scaling(
            Target(options.runs, options.utilisation, options.queue_seconds),
            least=min(options.replicas, options.most),
            most=options.most,
            look_back_s=options.look_back,
            up_delay_s=options.up_delay,
            down_delay_s=options.down_delay,
            start_s=options.start_seconds,
        )
    limits = Limits(settings.queue_s, settings.queue, settings.timeout_s)
    return Fleet(options.replicas, options.runs, limits, balance=options.balance, scaling=scaling)


def content_of(outcome: Outcome, arrivals: Sequence[Arrival]) -> dict[str, Any]:
    """Return an outcome as JSON; seconds, by model."""
    return {
        "requests": len(arrivals),
        "answered": outcome.ends[End.ANSWERED],
        "refused": outcome.ends[End.REFUSED],
        "expired": outcome.ends[End.EXPIRED],
        "utilisation": outcome.utilisation,
        "models": {name: _figures(times) for name, times in outcome.latencies_s.items()},
        "replicas": [list(change) for change in outcome.replicas],
    }


def _figures(times_s: Sequence[float]) -> dict[str, float]:
    return {
        "answered": len(times_s),
        "mean_s": sum(times_s) / len(times_s),
        "p50_s": quantile(times_s, 0.5),
        "p99_s": quantile(times_s, 0.99),
    }


def _lines(content: Mapping[str, Any]) -> list[str]:
    counts = ", ".join(f"{content[name]} {name}" for name in ("answered", "refused", "expired"))
    lines = [
        f"{content['requests']} requests: {counts}; runs {content['utilisation']:.0%} busy",
        f"{'model':30} {'answered':>9} {'mean':>9} {'p50':>9} {'p99':>9}",
    ]
    for name, figures in content["models"].items():
        times = (f"{1000 * figures[key]:.1f}ms" for key in ("mean_s", "p50_s", "p99_s"))
        cells = (str(figures["answered"]), *times)
        lines.append(f"{name:30} " + " ".join(f"{cell:>9}" for cell in cells))
    changes = content["replicas"]
    if len(changes) > 1:
        lines += [f"{time_s:8.0f} s: {count} replicas" for time_s, count in changes[:SHOWN]]
        if len(changes) > SHOWN:
            lines.append(f"and {len(changes) - SHOWN} changes more")
    return lines
