"""What one image costs, in a process of its own: the program that `benchmarks.image_sizes` starts.

Everything is asked once with a small image first, so that what only the first run costs is not
counted. The kernel's peak is reset before each measurement.
"""

import ctypes
import gc
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2

from benchmarks.errors import BenchmarkError
from benchmarks.server import read_memory
from runtime import load
from runtime.engine.allocator import tune_allocator
from runtime.media.images.decode import decode_image
from runtime.tasks.background import background

_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
_MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one thing done to one image."""

    name: str
    seconds: float  # of the CPU
    more_mb: float  # of memory at the highest, than before


def main(predictor: str, matter: str, small: str, path: str) -> None:
    """Print the costs as JSON.

    Args:
        predictor: artifact of a model that is asked of the image.
        matter: artifact of the model that cuts it out.
        small: an image that is asked first.
        path: the image.
    """
    tune_allocator()  # as the server does
    cv2.setNumThreads(1)
    model, mask = load(predictor), load(matter)
    works: dict[str, Callable[[bytes], object]] = {
        "decode": decode_image,
        "predict": model.predict,
        "cut out, PNG": lambda data: background(data, mask).encode(),
        "cut out, JPEG": lambda data: background(data, mask).encode(
            behind=(255, 255, 255), form="jpeg"
        ),
    }
    first, data = (Path(each).read_bytes() for each in (small, path))
    for work in works.values():
        work(first)
    costs = [_cost(name, work, data) for name, work in works.items()]
    print(json.dumps([asdict(cost) for cost in costs]))


def _cost(name: str, work: Callable[[bytes], object], data: bytes) -> Cost:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what the heap keeps would be taken again, unseen
    _reset_peak()
    before = read_memory(os.getpid()).resident_mb
    start = time.process_time()  # one thread: the same as by the clock, whatever else runs
    work(data)
    seconds = time.process_time() - start
    return Cost(name, seconds, read_memory(os.getpid()).peak_mb - before)


def _reset_peak() -> None:
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK, encoding="ascii")
    except OSError as error:
        raise BenchmarkError(
            f"{_CLEAR_REFS} cannot be written ({error.strerror}); Linux resets a peak there"
        ) from error
