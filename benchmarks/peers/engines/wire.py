"""Commands to a process as lines of JSON, and its answers. Standard library and numpy alone."""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Feeds = dict[str, NDArray[Any]]
Answer = Callable[..., Any]


def serve(commands: Mapping[str, Answer]) -> None:
    """Answer each line of standard input: a list of a command's name and its arguments.

    What libraries print to standard output goes to standard error.
    """
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            answer = {"value": commands[name](*arguments)}
        except Exception as error:  # of any library: it becomes the row's error
            answer = {"error": f"{type(error).__name__}: {str(error)[:400]}"}
        print(json.dumps(answer), file=out, flush=True)


def time_runs(run: Callable[[Feeds], object], inputs: Sequence[Feeds], count: int) -> list[float]:
    """Return the ms of some runs, over the inputs in turn; one more before them warms up.

    Only inputs of the shape of the first are run: an engine may compile anew for another length.
    """
    equal = equal_shapes(inputs)
    run(equal[0])
    durations = []
    for number in range(count):
        feeds = equal[number % len(equal)]
        start = time.perf_counter()
        run(feeds)
        durations.append((time.perf_counter() - start) * 1000)
    return durations


def equal_shapes(inputs: Sequence[Feeds]) -> list[Feeds]:
    """Return the inputs of the shape of the first."""
    return [feeds for feeds in inputs if shapes(feeds) == shapes(inputs[0])]


def resident_mb() -> float:
    """Return the resident memory of this process in MB (10^6 bytes)."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = (line for line in text.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024 / 1e6


def shapes(feeds: Feeds) -> dict[str, tuple[int, ...]]:
    """Return the shape of each input."""
    return {name: array.shape for name, array in feeds.items()}


def save(path: str, samples: Sequence[Mapping[str, NDArray[Any]]]) -> None:
    """Write samples, each arrays by name, to an .npz file."""
    arrays: Any = {f"{i}/{name}": a for i, one in enumerate(samples) for name, a in one.items()}
    np.savez(path, **arrays)


def load(path: str | Path) -> list[Feeds]:
    """Read the samples of `save`."""
    samples: dict[int, Feeds] = {}
    with np.load(path) as file:
        for key in file.files:
            number, _, name = key.partition("/")
            samples.setdefault(int(number), {})[name] = file[key]
    return [samples[number] for number in sorted(samples)]
