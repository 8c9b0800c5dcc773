"""`python -m benchmarks.lengths`: what the length of a sound or clip costs in memory and time.

Files of the project's own making, each in a new process. Memory should stay flat, and the time of
a clip follow the frames that are sampled where the container can be sought (VP9), its length where
not (MPEG-4 part 2).
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.children import run_python
from benchmarks.machine import Machine, describe_machine
from benchmarks.recordings import clip_writer, write_sound
from benchmarks.table import machine_lines
from runtime.cli.table import align
from runtime.errors import SlipwayError
from runtime.tasks import defaults

SECONDS = (1, 10, 60, 600, 3600)
TIMEOUT_S = 3000.0  # of the longest: an hour of sound is some 450 runs
_CODE = "import sys; from benchmarks.one_recording import main; main(*sys.argv[1:])"
HEADINGS = ("input", "length", "file MB", "decode s", "whole s", "peak MB", "more MB", "worker MB")
NOTES = (
    "MB are 10^6 bytes. Decode: all that the task reads of the file. Whole: decode and every run.",
    "Peak: VmHWM of the process, the file itself in it. More: than after the same task on 12 s of",
    "sound or 1 s of a clip. Worker: VmHWM of the largest process that decoded.",
)


@dataclass(frozen=True, slots=True)
class Kind:
    """Files that differ in their length alone."""

    name: str
    model: str
    suffix: str
    short_s: int  # what a run takes at once is in it whole
    seconds: tuple[int, ...]
    write: Callable[[Path, int], None]


@dataclass(frozen=True, slots=True)
class Row:
    """What one file cost."""

    name: str
    seconds: int
    file_mb: float
    decode_s: float
    whole_s: float
    peak_mb: float
    more_mb: float
    worker_mb: float


def kinds(*, quick: bool) -> tuple[Kind, ...]:
    """What is measured, shortest first."""
    longest = (10, 10, 10) if quick else (3600, 600, 60)
    sound, sought, walked = (tuple(s for s in SECONDS if s <= most) for most in longest)
    voice, gait = defaults.VOICE_EMOTION_MODEL, defaults.GAIT_MODEL
    return (
        Kind("sound, FLAC", voice, ".flac", 12, sound, write_sound),
        Kind("clip 1080p, VP9", gait, ".mp4", 1, sought, clip_writer("vp09")),
        Kind("clip 1080p, MPEG-4", gait, ".mp4", 1, walked, clip_writer("mp4v")),
    )


def measure(artifacts: Path, measured: Sequence[Kind], folder: Path) -> Iterator[Row]:
    """A row for each length, as it comes; kinds whose model is absent are left out, saying so."""
    for kind in measured:
        artifact = artifacts / kind.model
        if not artifact.is_dir():
            print(f"benchmarks: {artifact} is not there: no rows of {kind.name}", file=sys.stderr)
            continue
        short = folder / f"short{kind.suffix}"
        kind.write(short, kind.short_s)
        for seconds in kind.seconds:
            path = folder / f"long{kind.suffix}"
            kind.write(path, seconds)
            arguments = [str(each.resolve()) for each in (artifact, short, path)]
            figures = json.loads(run_python(_CODE, *arguments, timeout_s=TIMEOUT_S))
            yield Row(kind.name, seconds, **figures)


def render(rows: Sequence[Row], machine: Machine, *, quick: bool) -> str:
    """The table with what it was measured on."""
    cells = [HEADINGS, *(_cells(row) for row in rows)]
    text = "\n\n".join("\n".join(part) for part in (machine_lines(machine), align(cells), NOTES))
    return f"{text}\nquick: not figures to quote" if quick else text


def _cells(row: Row) -> tuple[str, ...]:
    values = (row.decode_s, row.whole_s)
    memory = (row.peak_mb, row.more_mb, row.worker_mb)
    return (
        row.name,
        _length(row.seconds),
        f"{row.file_mb:.2f}",
        *(f"{value:.2f}" for value in values),
        *(f"{value:.0f}" for value in memory),
    )


def _length(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 3600 else f"{seconds // 3600} h"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lengths", description=__doc__)
    add = parser.add_argument
    add("--artifacts", metavar="DIR", type=Path, default=Path("artifacts"))
    add("--json", metavar="FILE", type=Path, help="write every figure as JSON")
    add("--quick", action="store_true", help="short ones alone: does it work")
    given = parser.parse_args(arguments)
    machine, rows = describe_machine(), []
    try:
        with tempfile.TemporaryDirectory() as folder:
            for row in measure(given.artifacts, kinds(quick=given.quick), Path(folder)):
                print(f"{row.name}, {_length(row.seconds)}", file=sys.stderr, flush=True)
                rows.append(row)
    except SlipwayError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    print(render(rows, machine, quick=given.quick))
    if given.json:
        text = json.dumps([asdict(row) for row in rows], indent=1)
        given.json.write_text(f"{text}\n", encoding="utf-8")
    return 0 if rows else 1


if __name__ == "__main__":
    sys.exit(main())
