"""`python -m benchmarks.scaling`: how time and memory grow with the size of a file.

Measures images by megapixels, sounds and clips by seconds. Each function of each file runs in a
fresh process. The slope of a straight line through the points is what one more unit costs.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.children import run_module
from benchmarks.machine import Machine, describe_machine
from benchmarks.media_files import clip_writer, write_photo, write_sound
from benchmarks.one_file import Cost
from benchmarks.output import add_options, check_writable, write_json
from benchmarks.table import machine_lines
from runtime.cli.table import align
from runtime.errors import SlipwayError
from runtime.tasks import defaults

TIMEOUT_S = 3000.0  # of the longest call: an hour of sound is some 450 runs of the graph
HEADINGS = ("function", "size", "file MB", "wall s", "CPU s", "more MB", "worker MB")
SLOPES = ("per unit", "wall s", "CPU s", "more MB")
NOTES = (
    "MB are 10^6 bytes. CPU: of the calling process. More: peak of its resident memory (VmHWM)",
    "above that before the call; a small file was done first. Worker: peak of the largest decoder",
    "process. A decoded megapixel is 3 MB, and OpenCV holds it twice while it decodes.",
)


@dataclass(frozen=True, slots=True)
class Series:
    """Functions that are measured on files of growing size."""

    unit: str
    functions: tuple[tuple[str, str], ...]  # name in one_file.FUNCTIONS; model id or ""
    write: Callable[[Path, float], None]
    suffix: str
    small: float  # size of the file that is done first; holds a whole run of the model
    sizes: tuple[float, ...]  # ascending


@dataclass(frozen=True, slots=True)
class Point:
    """The cost of one function of one file."""

    function: str
    unit: str
    size: float
    file_mb: float
    cost: Cost


IMAGES = Series(
    "megapixels",
    (
        ("decode image", ""),
        ("predict", defaults.SIMILARITY_MODEL),
        ("cut out, PNG", defaults.BACKGROUND_MODEL),
        ("cut out, JPEG", defaults.BACKGROUND_MODEL),
    ),
    write_photo,
    ".jpg",
    small=0.1,
    sizes=(0.1, 0.5, 1.0, 4.0, 12.0, 25.0, 50.0),
)
SOUNDS = Series(
    "s of sound",
    (("decode sound", ""), ("voice emotion", defaults.VOICE_EMOTION_MODEL)),
    write_sound,
    ".flac",
    small=12,
    sizes=(1, 10, 60, 600, 3600),
)
CLIPS = tuple(
    Series(
        f"s of {name}",
        (("decode clip", ""), ("gait", defaults.GAIT_MODEL)),
        clip_writer(codec),
        ".mp4",
        small=1,
        sizes=(1, 10, 30, 60),
    )
    # of VP9 OpenCV can seek to a frame; MPEG-4 part 2 it decodes from the beginning
    for name, codec in (("720p VP9", "vp09"), ("720p MPEG-4", "mp4v"))
)
ALL = (IMAGES, SOUNDS, *CLIPS)
QUICK_SIZES = 2


def measure(artifacts: Path, series: Series, folder: Path) -> Iterator[Point]:
    """Yield the points of one series, by size; functions whose model is missing are left out.

    Raises:
        BenchmarkError: a process failed.
    """
    present = [f for f in series.functions if not f[1] or (artifacts / f[1]).is_dir()]
    for name, model in series.functions:
        if (name, model) not in present:
            print(f"benchmarks: no {artifacts / model}: {name} is left out", file=sys.stderr)
    small, path = folder / f"small{series.suffix}", folder / f"file{series.suffix}"
    series.write(small, series.small)
    for size in series.sizes:
        series.write(path, size)
        for name, model in present:
            arguments = [name, str(small), str(path)]
            arguments += [str((artifacts / model).resolve())] if model else []
            text = run_module("benchmarks.one_file", *arguments, timeout_s=TIMEOUT_S)
            cost = Cost(**json.loads(text))
            yield Point(name, series.unit, size, path.stat().st_size / 1e6, cost)


def fit_slopes(points: Sequence[Point]) -> Cost:
    """Return what one more unit of size costs: the slope of a least-squares line.

    Args:
        points: of one function, of two sizes at least.
    """
    sizes = [point.size for point in points]
    values = [tuple(asdict(point.cost).values()) for point in points]
    slopes, _ = np.polyfit(sizes, values, 1)
    return Cost(*map(float, slopes))


def render(points: Sequence[Point], machine: Machine) -> str:
    """Return the machine, a table of all points by function, and a table of the slopes."""
    functions = list(dict.fromkeys((point.function, point.unit) for point in points))
    groups = [[p for p in points if (p.function, p.unit) == function] for function in functions]
    rows = [HEADINGS, *(_cells(point) for group in groups for point in group)]
    slopes = [_slope_cells(group) for group in groups if len({p.size for p in group}) > 1]
    parts = [machine_lines(machine), align(rows)]
    parts += [align([SLOPES, *slopes])] if slopes else []
    return "\n\n".join("\n".join(part) for part in (*parts, NOTES))


def _cells(point: Point) -> tuple[str, ...]:
    cost = point.cost
    return (
        point.function,
        f"{point.size:g} {point.unit}",
        f"{point.file_mb:.2f}",
        f"{cost.wall_s:.3f}",
        f"{cost.cpu_s:.3f}",
        f"{cost.more_mb:.0f}",
        f"{cost.worker_mb:.0f}",
    )


def _slope_cells(points: Sequence[Point]) -> tuple[str, ...]:
    slope, point = fit_slopes(points), points[0]
    values = (f"{value:.3g}" for value in (slope.wall_s, slope.cpu_s, slope.more_mb))
    return (f"{point.function}, {point.unit}", *values)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    options = _parser().parse_args(arguments)
    machine, points = describe_machine(), []
    try:
        check_writable(options.json)
        with tempfile.TemporaryDirectory() as folder:
            for series in _selected(quick=options.quick):
                for point in measure(options.artifacts, series, Path(folder)):
                    done = f"{point.function}, {point.size:g} {point.unit}"
                    print(done, file=sys.stderr, flush=True)
                    points.append(point)
    except SlipwayError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    print(render(points, machine))
    if options.json:
        write_json(options.json, [asdict(point) for point in points])
    return 0


def _selected(*, quick: bool) -> Iterator[Series]:
    """Yield every series; if quick, with its smallest sizes alone."""
    for series in ALL:
        yield replace(series, sizes=series.sizes[:QUICK_SIZES]) if quick else series


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling",
        description="Measure how time and memory grow with the size of a file.",
    )
    add_options(parser, quick="measure the two smallest sizes of each, to try it out")
    return parser


if __name__ == "__main__":
    sys.exit(main())
