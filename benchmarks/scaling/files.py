"""Measure functions of files of growing size, each in a fresh process."""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.children import run_module
from benchmarks.media_files import FPS, clip_writer, write_photo, write_sound
from benchmarks.scaling.fit import Series, series
from benchmarks.scaling.one_file import Cost
from runtime.tasks import defaults

TIMEOUT_S = 3000.0  # of the longest call: an hour of sound is some 450 runs of the graph


@dataclass(frozen=True, slots=True)
class Kind:
    """Functions that are measured on files of growing size."""

    unit: str
    functions: tuple[tuple[str, str], ...]  # name in one_file.FUNCTIONS; model id or ""
    write: Callable[[Path, float], None]
    suffix: str
    small: float  # size of the file that is done first; holds a whole run of the model
    sizes: tuple[float, ...]  # ascending


@dataclass(frozen=True, slots=True)
class FilePoint:
    """The cost of one function of one file."""

    function: str
    unit: str
    size: float
    file_mb: float
    cost: Cost


IMAGES = Kind(
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
    sizes=(0.1, 1.0, 4.0, 12.0, 25.0, 50.0),
)
SOUNDS = Kind(
    "s of sound",
    (("decode sound", ""), ("voice emotion", defaults.VOICE_EMOTION_MODEL)),
    write_sound,
    ".flac",
    small=12,
    sizes=(1, 10, 60, 300),
)
HOUR = 3600.0
CLIPS = tuple(
    Kind(
        f"frames of 720p {name}",
        (("decode clip", ""), ("gait", defaults.GAIT_MODEL)),
        clip_writer(codec),
        ".mp4",
        small=FPS,
        sizes=(FPS, 10 * FPS, 30 * FPS, 60 * FPS),
    )
    # of VP9 OpenCV can seek to a frame; MPEG-4 part 2 it decodes from the beginning
    for name, codec in (("VP9", "vp09"), ("MPEG-4", "mp4v"))
)
ALL = (IMAGES, SOUNDS, *CLIPS)
QUICK_SIZES = 2


def measure_files(artifacts: Path, *, quick: bool, long: bool) -> Iterator[Series]:
    """Yield the time and the memory of every function.

    Args:
        artifacts: the directory.
        quick: the two smallest files of each kind.
        long: an hour of sound too.

    Raises:
        BenchmarkError: a process failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        for kind in ALL:
            sizes = kind.sizes[:QUICK_SIZES] if quick else kind.sizes
            if long and kind is SOUNDS:
                sizes = (*sizes, HOUR)
            yield from to_series(list(measure(artifacts, replace(kind, sizes=sizes), Path(folder))))


def measure(artifacts: Path, kind: Kind, folder: Path) -> Iterator[FilePoint]:
    """Yield the points of one kind, by size; functions whose model is missing are left out.

    Raises:
        BenchmarkError: a process failed.
    """
    present = [f for f in kind.functions if not f[1] or (artifacts / f[1]).is_dir()]
    for name, model in kind.functions:
        if (name, model) not in present:
            print(f"benchmarks: no {artifacts / model}: {name} is left out", file=sys.stderr)
    small, path = folder / f"small{kind.suffix}", folder / f"file{kind.suffix}"
    kind.write(small, kind.small)
    for size in kind.sizes:
        kind.write(path, size)
        for name, model in present:
            print(f"{name}, {size:g} {kind.unit}", file=sys.stderr, flush=True)
            arguments = [name, str(small), str(path)]
            arguments += [str((artifacts / model).resolve())] if model else []
            text = run_module("benchmarks.scaling.one_file", *arguments, timeout_s=TIMEOUT_S)
            yield FilePoint(
                name, kind.unit, size, path.stat().st_size / 1e6, Cost(**json.loads(text))
            )


def to_series(points: list[FilePoint]) -> Iterator[Series]:
    """Yield the time and the memory of each function over the sizes of one kind of files."""
    for name in dict.fromkeys(point.function for point in points):
        some = [point for point in points if point.function == name]
        unit = some[0].unit
        yield series(unit, name, "wall s", [(one.size, one.cost.wall_s) for one in some])
        memory = [(one.size, one.cost.more_mb + one.cost.worker_mb) for one in some]
        yield series(unit, name, "more MB", memory)
