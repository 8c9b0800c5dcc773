"""`python -m benchmarks.regression.proof`: what the gate catches, and what it leaves alone.

Copies of this checkout are compared. In a slowed one, a call of one case is followed by a loop that
takes a tenth of the time of that case; identical ones are equal files in two folders.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.regression.checkout import Checkout, checkout_at
from benchmarks.regression.gate import Outcome, all_cases, judge_times
from benchmarks.regression.passes import IMPORT, Least, Sides, calls_in
from benchmarks.regression.subjects import HttpServer, Imports, Subject, Worker
from benchmarks.regression.thresholds import read_thresholds
from benchmarks.regression.workload import Workload, write_workload
from runtime.errors import SlipwayError

HERE = Path(__file__).parents[2]
COPIED = ("runtime", "serve")
RUNS: Mapping[type[object], int] = {Worker: 200, HttpServer: 80, Imports: 8}  # of a whole case
_MODEL, _DECODE = "runtime/model.py", "runtime/media/images/decode.py"
_CONNECTION = "serve/http/connection.py"
_WRAPPER = """

def _slowed(call, turns):
    def slowed(*arguments, **options):
        result = call(*arguments, **options)
        for _ in range(turns):
            pass
        return result

    return slowed


{target} = _slowed({target}, {turns})
"""
_AT_IMPORT = """

for _ in range({turns}):
    pass
"""


@dataclass(frozen=True, slots=True)
class Slowdown:
    """A place where a case is slowed."""

    file: str
    target: str  # what is wrapped; "": the file takes longer to import


SLOWDOWNS: Mapping[str, Slowdown] = {
    "face_emotion_xception: decode": Slowdown(_DECODE, "decode_image"),
    "face_detector_yunet: answer": Slowdown(_MODEL, "Model.answer"),
    "http: infer, JSON": Slowdown(_CONNECTION, "Connection.on_headers_complete"),
    "background_u2netp: answer": Slowdown(_MODEL, "Model.answer"),
    "voice_emotion_wav2vec2: prepare": Slowdown(_MODEL, "Model.prepare"),
    "http: face emotion": Slowdown(_CONNECTION, "Connection.on_headers_complete"),
    IMPORT: Slowdown(_MODEL, ""),
}


def slow_down(case: str, base: Checkout, workload: Workload, head: Path, share: float) -> int:
    """Slow a copy by a share of a case's time; return the turns of the loop that does it."""
    with closing(_subject(case, base, workload)) as subject:
        # as many calls in a run as the gate has: a lone call is slower, and so is a tenth of it
        timing = read_thresholds().time
        run_ms = timing.http_run_ms if isinstance(subject, HttpServer) else timing.run_ms
        loops = 1 if case == IMPORT else calls_in(subject, case, run_ms)
        runs, least = RUNS[type(subject)], Least()
        subject.measure(case, runs, loops)
        least.add(subject.measure(case, runs, loops), loops)
    turns = round(share * least.cpu / _turn_ns())
    slowdown = SLOWDOWNS[case]
    text = _WRAPPER if slowdown.target else _AT_IMPORT
    with (head / slowdown.file).open("a", encoding="utf-8") as file:
        file.write(text.format(target=slowdown.target, turns=turns))
    return turns


def _subject(case: str, base: Checkout, workload: Workload) -> Subject:
    if case == IMPORT:
        return Imports(base)
    if any(case == request.name for request in workload.requests):
        return HttpServer(base, workload)
    return Worker(base, workload)


def _turn_ns() -> float:
    """Return the least nanoseconds of CPU that a turn of an empty loop takes."""
    turns, least = 10_000, float("inf")
    for _ in range(200):
        begin = time.thread_time_ns()
        for _ in range(turns):
            pass
        least = min(least, time.thread_time_ns() - begin)
    return least / turns


def copies(folder: Path) -> Sides:
    """Copy this checkout to both sides."""
    for side in ("base", "head"):
        for package in COPIED:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(HERE / package, folder / side / package, ignore=ignored)
    return Sides(*(checkout_at(folder / s, folder / f"{s}-code") for s in ("base", "head")))


def trial(case: str | None, share: float, sides: Sides, workload: Workload) -> Outcome:
    """Compare two copies, the second slowed in one case; None: identical."""
    thresholds = read_thresholds()
    if case is None:
        return judge_times(sides, workload, thresholds, all_cases(workload))
    file = SLOWDOWNS[case].file
    try:
        slow_down(case, sides.base, workload, sides.head.directory, share)
        return judge_times(sides, workload, thresholds, [case])
    finally:
        shutil.copy2(HERE / file, sides.head.directory / file)


def summary(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return trials as Markdown: what was slowed, how many were right, and the ratios.

    The ratio of a slowed trial is the median that was judged; those of identical ones are the first
    of each case, before any was measured again.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        case = line["slowed"]
        kind = "identical" if case is None else f"slowed: {_kind(case)}"
        groups.setdefault(kind, []).append(line)
    rows = ["| | right | ratios |", "|---|---|---|"]
    for kind, ones in sorted(groups.items()):
        right = sum(one["right"] for one in ones)
        ratios = [
            statistics.median(repeats) if one["slowed"] else repeats[0]
            for one in ones
            for repeats in one["ratios"].values()
        ]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        rows.append(f"| {kind} | {right} of {len(ones)} | {spread} |")
    return "\n".join(rows)


def _kind(case: str) -> str:
    if case == IMPORT:
        return case
    model, _, stage = case.partition(": ")
    return "a request over HTTP" if model == "http" else stage


def main(arguments: Sequence[str] | None = None) -> int:
    """Run trials and print a line for each; return 1 if one went wrong."""
    options = _parser().parse_args(arguments)
    names = list(SLOWDOWNS)
    slowed: list[str | None] = [
        names[(options.first + number) % len(names)] for number in range(options.slowed)
    ]
    wrong, lines = 0, list[Mapping[str, Any]]()
    with tempfile.TemporaryDirectory(prefix="slipway-proof-") as name:
        sides, workload = copies(Path(name)), write_workload(Path(name))
        for case in (*slowed, *[None] * options.identical):
            try:
                outcome = trial(case, options.share, sides, workload)
            except (SlipwayError, OSError) as error:
                print(f"proof: {error}", file=sys.stderr)
                return 2
            is_right = bool(outcome.alarms) == (case is not None)
            wrong += not is_right
            line = {
                "slowed": case,
                "alarms": outcome.alarms,
                "right": is_right,
                "ratios": {time.case: time.ratios for time in outcome.times},
                "other_clock": outcome.other_clock,
            }
            print(json.dumps(line), flush=True)
            lines.append(line)
    print(summary(lines), file=sys.stderr)
    print(f"{wrong} of {options.slowed + options.identical} trials were wrong", file=sys.stderr)
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.regression.proof",
        description="Let the gate judge slowed and identical copies of this checkout.",
    )
    parser.add_argument("--slowed", type=int, default=20, help="trials (default: %(default)s)")
    parser.add_argument("--identical", type=int, default=20, help="trials (default: %(default)s)")
    parser.add_argument(
        "--share", type=float, default=0.1, help="of the time of a case (default: %(default)s)"
    )
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first slowed trial, to run it in parts"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
