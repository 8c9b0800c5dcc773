"""`python -m benchmarks.regression`: exit code 1 if the head is slower or larger than the base."""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.output import check_writable, write_json
from benchmarks.regression.checkout import MAIN, checkout_at, merge_base
from benchmarks.regression.exact import convert, memory, sizes
from benchmarks.regression.gate import Outcome, all_cases, judge_times
from benchmarks.regression.passes import Sides
from benchmarks.regression.thresholds import PATH, read_thresholds
from benchmarks.regression.verdict import table
from benchmarks.regression.workload import write_workload
from runtime.artifact.schema import to_json
from runtime.errors import SlipwayError


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and report.

    Returns:
        The exit code: 0 if nothing got worse, 1 if something did, 2 if it could not be measured.
    """
    options = _parser().parse_args(arguments)
    try:
        check_writable(options.json)
        outcome = _measure(options)
    except (SlipwayError, OSError) as error:
        print(f"benchmarks.regression: {error}", file=sys.stderr)
        return 2
    machine = describe_machine()
    busy = " BUSY: times over HTTP differ by a tenth from run to run" if machine.busy else ""
    print(f"{machine.cpu}, {machine.cpus} CPUs, load {machine.load_average:.1f}{busy}\n")
    print(table(outcome.times, outcome.exact))
    if options.json:
        content = {"machine": to_json(machine), **asdict(outcome)}
        write_json(options.json, {**content, "alarms": outcome.alarms})
    for case in outcome.alarms:
        print(f"benchmarks.regression: worse than the base: {case}", file=sys.stderr)
    return 1 if outcome.alarms else 0


def _measure(options: argparse.Namespace) -> Outcome:
    thresholds = read_thresholds(options.thresholds)
    with (
        tempfile.TemporaryDirectory(prefix="slipway-gate-") as name,
        _base(options.base, options.head, options.main) as base,
    ):
        folder = Path(name)
        sides = Sides(
            checkout_at(base, folder / "base-code"), checkout_at(options.head, folder / "head-code")
        )
        converted = [
            convert(side, options.convert_python, options.convert, folder / f"artifacts-{number}")
            for number, side in enumerate(sides.both)
            if options.convert
        ]
        real = options.artifacts or (converted[0] if converted else None)
        workload = write_workload(folder, real)
        exact = [*sizes(sides, thresholds.exact, converted)]
        exact += memory(sides, workload, thresholds.exact)
        outcome = judge_times(sides, workload, thresholds, all_cases(workload))
        return replace(outcome, exact=tuple(exact))


@contextmanager
def _base(base: Path | None, head: Path, main_branch: str) -> Iterator[Path]:
    with nullcontext(base) if base else merge_base(head, main_branch) as directory:
        yield directory


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.regression",
        description="Compare the speed, size and memory of two checkouts on this machine.",
    )
    here = Path(__file__).parents[2]
    parser.add_argument(
        "--base", metavar="DIR", type=Path, help="checkout to compare with (default: --main)"
    )
    parser.add_argument(
        "--head", metavar="DIR", type=Path, default=here, help="checkout to judge (default: this)"
    )
    parser.add_argument(
        "--main",
        metavar="BRANCH",
        default=MAIN,
        help="the base is where --head left this branch (default: %(default)s)",
    )
    parser.add_argument("--artifacts", metavar="DIR", type=Path, help="real models to time as well")
    parser.add_argument(
        "--convert",
        metavar="MODEL",
        help="convert this model with both sides, untrained: compare the sizes, time the base's",
    )
    parser.add_argument(
        "--convert-python",
        metavar="FILE",
        type=Path,
        default=here / ".venv-convert" / "bin" / "python",
        help="interpreter of conversions (default: %(default)s)",
    )
    parser.add_argument(
        "--thresholds", metavar="FILE", type=Path, default=PATH, help="default: %(default)s"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every figure as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
