"""Peak memory of a graph that is loaded and run in a process of its own.

In this process memory that other graphs freed would hide part of it.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from convert.errors import VerificationError
from runtime.engine.session import Feeds

PROJECT = Path(__file__).parents[2]
SECONDS = 120
# options and allocator of the server; the interpreter's own memory is needed once for all models
PROGRAM = """
import sys
import numpy as np
from runtime.engine.allocator import tune_allocator
from runtime.engine.session import Session, SessionOptions

def kilobytes(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field))

tune_allocator()
feeds = dict(np.load(sys.argv[2], allow_pickle=False))
before = kilobytes("VmRSS:")
Session(sys.argv[1], SessionOptions(threads=1)).run(feeds)
print(1024 * (kilobytes("VmHWM:") - before))
"""


def peak_bytes(path: Path, feeds: Feeds) -> int:
    """Return the bytes that a fresh process needs at most to load a graph and run it once.

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
            return int(json.loads(process.stdout))
        except (subprocess.SubprocessError, ValueError) as error:
            lines = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
            raise VerificationError(f"{path.name} in a process of its own: {lines[-1]}") from error
