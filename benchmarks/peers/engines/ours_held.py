"""The memory of a process that has loaded the graph that Slipway serves, and run it.

    python -m benchmarks.peers.engines.ours_held VERSION_DIRECTORY THREADS

Runs in this environment, with the settings of the runtime.
"""

import sys
from pathlib import Path

from benchmarks.peers.engines import wire
from runtime import load
from runtime.engine.allocator import tune_allocator
from runtime.engine.session import SessionOptions


def hold(directory: Path, threads: int, inputs: str) -> float:
    """Load the graph, run the inputs of a file, and return the MB of this process."""
    model = load(directory, options=SessionOptions(threads=threads))
    for feeds in wire.equal_shapes(wire.load(inputs)):
        model.run(feeds)
    return wire.resident_mb()


if __name__ == "__main__":
    tune_allocator()  # as the server does
    place = (Path(sys.argv[1]), int(sys.argv[2]))
    wire.serve({"hold": lambda inputs: hold(*place, inputs)})
