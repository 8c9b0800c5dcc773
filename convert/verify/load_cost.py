"""Time and memory of a graph that is loaded and run in a process of its own.

In this process memory that other graphs freed would hide part of it.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.errors import VerificationError
from runtime.engine.session import Feeds

PROJECT = Path(__file__).parents[2]
SECONDS = 120
# options and allocator of the server; the interpreter's own memory is needed once for all models
PROGRAM = """
import gc, json, sys, time
import numpy as np
from runtime.engine.allocator import release_free_memory, tune_allocator
from runtime.engine.memory import anonymous_bytes
from runtime.engine.session import Session, SessionOptions

def kilobytes(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field))

tune_allocator()
feeds = dict(np.load(sys.argv[2], allow_pickle=False))
before, anonymous = kilobytes("VmRSS:"), anonymous_bytes()
start_s = time.perf_counter()
session = Session(sys.argv[1], SessionOptions(threads=1))
load_ms = 1000 * (time.perf_counter() - start_s)
session.run(feeds)
gc.collect()
release_free_memory()
print(json.dumps({
    "kept_bytes": max(0, anonymous_bytes() - anonymous),
    "peak_bytes": 1024 * (kilobytes("VmHWM:") - before),
    "load_ms": round(load_ms, 1),
}))
"""


@dataclass(frozen=True, slots=True)
class LoadCost:
    """The cost of one load and run in a fresh process."""

    kept_bytes: int  # anonymous memory afterwards: what comes from no file
    peak_bytes: int  # resident memory at most, with mapped pages of the file
    load_ms: float  # of the session, without the run


def measure_load(path: Path, feeds: Feeds) -> LoadCost:
    """Load a graph in a fresh process and run it once.

    Args:
        path: the ONNX file.
        feeds: one sample; one thread runs it.

    Raises:
        VerificationError: the graph does not run in that process.
    """
    with tempfile.TemporaryDirectory(prefix="slipway-") as directory:
        sample = Path(directory, "feeds.npz")
        np.savez(sample, allow_pickle=False, **feeds)
        command = [sys.executable, "-c", PROGRAM, str(path.resolve()), str(sample)]
        try:
            process = subprocess.run(
                command, cwd=PROJECT, capture_output=True, text=True, timeout=SECONDS, check=True
            )
            return LoadCost(**json.loads(process.stdout))
        except (subprocess.SubprocessError, ValueError, TypeError) as error:
            lines = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
            raise VerificationError(f"{path.name} in a process of its own: {lines[-1]}") from error


def peak_bytes(path: Path, feeds: Feeds) -> int:
    """Return the bytes that a fresh process needs at most to load a graph and run it once.

    Args:
        path: the ONNX file.
        feeds: one sample; one thread runs it.

    Raises:
        VerificationError: the graph does not run in that process.
    """
    return measure_load(path, feeds).peak_bytes
