"""`python -m benchmarks.image_sizes`: what the size of an image costs in memory and time.

Images of the project's own making, from 0.1 to 50 megapixels, each in a new process.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.children import run_python
from benchmarks.errors import BenchmarkError
from benchmarks.machine import Machine, describe_machine
from benchmarks.one_image import Cost
from benchmarks.table import machine_lines
from runtime.cli.table import align
from runtime.errors import SlipwayError
from runtime.tasks import defaults

MEGAPIXELS = (0.1, 0.5, 1.0, 4.0, 12.0, 25.0, 50.0)
QUICK = (0.1, 1.0)
TIMEOUT_S = 600.0
_CODE = "import sys; from benchmarks.one_image import main; main(*sys.argv[1:])"
HEADINGS = ("done", "megapixels", "px", "file MB", "image MB", "CPU s", "more MB", "beyond MB")
NOTES = (
    "MB are 10^6 bytes, s of one CPU. Image: decoded, 3 bytes a pixel. More: VmHWM while it is",
    "done less VmRSS before, everything having been done once with a small image. Beyond: of that,",
    "what is not the decoded image; OpenCV holds that twice while it decodes. Predict: decode,",
    "preprocess and the model. Cut out: with the default options, encoded; alpha takes 1 byte a",
    "pixel, OpenCV's encoder of JPEG 3 more.",
)


@dataclass(frozen=True, slots=True)
class Row:
    """What one thing done to one image cost."""

    megapixels: float
    height: int
    width: int
    file_mb: float
    cost: Cost

    @property
    def image_mb(self) -> float:
        """The image as decoded."""
        return 3 * self.height * self.width / 1e6


def write_photo(path: Path, megapixels: float) -> tuple[int, int]:
    """Write a JPEG of a bright, soft disc before a textured ground.

    Returns:
        Height and width in px, as 3 to 4.
    """
    height = int((megapixels * 0.75e6) ** 0.5)
    width = int(megapixels * 1e6 / height)  # not more: 50 is the largest that is decoded
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 140, (90, 120, 3), np.uint8)
    cv2.circle(coarse, (60, 45), 25, (200, 180, 240), -1, cv2.LINE_AA)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    if not cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 90]):
        raise BenchmarkError(f"{path} was not written")
    return height, width


def measure(artifacts: Path, megapixels: Sequence[float], folder: Path) -> Iterator[Row]:
    """Rows for each size, as they come.

    Raises:
        BenchmarkError: a model is absent, or a process failed.
    """
    models = [_artifact(artifacts, names) for names in _MODELS]
    small, path = folder / "small.jpg", folder / "photo.jpg"
    write_photo(small, MEGAPIXELS[0])
    for each in megapixels:
        height, width = write_photo(path, each)
        arguments = [str(given.resolve()) for given in (*models, small, path)]
        costs = json.loads(run_python(_CODE, *arguments, timeout_s=TIMEOUT_S))
        for cost in costs:
            yield Row(each, height, width, path.stat().st_size / 1e6, Cost(**cost))


def render(rows: Sequence[Row], machine: Machine) -> str:
    """The table with what it was measured on."""
    ordered = sorted(rows, key=lambda row: [r.cost.name for r in rows].index(row.cost.name))
    cells = [HEADINGS, *(_cells(row) for row in ordered)]
    return "\n\n".join("\n".join(part) for part in (machine_lines(machine), align(cells), NOTES))


def _cells(row: Row) -> tuple[str, ...]:
    cost = row.cost
    return (
        cost.name,
        f"{row.megapixels:g}",
        f"{row.width} x {row.height}",
        f"{row.file_mb:.2f}",
        f"{row.image_mb:.1f}",
        f"{cost.seconds:.3f}",
        f"{cost.more_mb:.0f}",
        f"{cost.more_mb - row.image_mb:.0f}",
    )


_MODELS = (
    (defaults.SIMILARITY_MODEL, defaults.FACE_EMOTION_MODEL),
    (defaults.BACKGROUND_MODEL,),
)


def _artifact(artifacts: Path, names: Sequence[str]) -> Path:
    found = next((artifacts / name for name in names if (artifacts / name).is_dir()), None)
    if found is None:
        raise BenchmarkError(f"{artifacts} holds none of {', '.join(names)}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.image_sizes", description=__doc__)
    add = parser.add_argument
    add("--artifacts", metavar="DIR", type=Path, default=Path("artifacts"))
    add("--json", metavar="FILE", type=Path, help="write every figure as JSON")
    add("--quick", action="store_true", help="small ones alone: does it work")
    given = parser.parse_args(arguments)
    machine, rows = describe_machine(), []
    try:
        with tempfile.TemporaryDirectory() as folder:
            for row in measure(given.artifacts, QUICK if given.quick else MEGAPIXELS, Path(folder)):
                print(f"{row.megapixels:g} MP, {row.cost.name}", file=sys.stderr, flush=True)
                rows.append(row)
    except SlipwayError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    print(render(rows, machine))
    if given.json:
        text = json.dumps([asdict(row) for row in rows], indent=1)
        given.json.write_text(f"{text}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
