"""Decode, preprocess and run one file over and over: the limit of any server on this machine.

python -m benchmarks.serving.bare_loop ARTIFACT FILE THREADS SECONDS
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2

from benchmarks.children import run_module
from runtime import Model, load
from runtime.engine.allocator import tune_allocator
from runtime.engine.session import SessionOptions


@dataclass(frozen=True, slots=True)
class Work:
    """The requests that a process answered in some seconds, and the CPU time that they took."""

    requests: int
    wall_s: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        """Return the requests per second."""
        return self.requests / self.wall_s

    @property
    def cpu_ms(self) -> float:
        """Return the CPU time of one request in ms."""
        return self.cpu_s / self.requests * 1000


def run_bare_loop(artifact: Path, file: Path, *, threads: int, seconds: float) -> Work:
    """Run the loop in a process of its own.

    Raises:
        BenchmarkError: it failed.
    """
    arguments = (str(artifact), str(file), str(threads), str(seconds))
    output = run_module("benchmarks.serving.bare_loop", *arguments, timeout_s=seconds + 60)
    return Work(**json.loads(output))


def main(artifact: str, path: str, threads: str, seconds: str) -> None:
    """Print the work of the loop as JSON."""
    tune_allocator()  # as the server does, and its thread counts
    cv2.setNumThreads(1)
    model = load(artifact, options=SessionOptions(threads=1))
    data = Path(path).read_bytes()
    _answer(model, data)
    with ThreadPoolExecutor(int(threads)) as pool:
        wall, cpu = time.perf_counter(), time.process_time()
        end = wall + float(seconds)
        counts = list(pool.map(lambda _: _count(model, data, end), range(int(threads))))
        work = Work(sum(counts), time.perf_counter() - wall, time.process_time() - cpu)
    print(json.dumps(asdict(work)))


def _count(model: Model, data: bytes, end: float) -> int:
    """Answer until the time `end` of time.perf_counter and return the number of answers."""
    count = 0
    while time.perf_counter() < end:
        _answer(model, data)
        count += 1
    return count


def _answer(model: Model, data: bytes) -> None:
    model.run(model.prepare(data).feeds)


if __name__ == "__main__":
    main(*sys.argv[1:])
