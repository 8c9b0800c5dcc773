"""What one recording costs, in a process of its own: the program that `benchmarks.lengths` starts.

    python -m benchmarks.one_recording ARTIFACT SHORT_FILE FILE

Asks the model of the short file first, so that what only the first run costs is not counted.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.server import read_memory
from runtime import load
from runtime.engine.allocator import tune_allocator
from runtime.media.isolation.pool import IsolatedDecoders
from runtime.media.video.sample import Limits
from runtime.predict.prepare import Bounds
from runtime.tasks.gait import gait
from runtime.tasks.voice_emotion import voice_emotion

LIMITS = Limits(frames=100_000, seconds=3600.0, deadline_s=600.0)
LONGEST_S = 3700.0
_RATE = 16_000  # Hz, that a sound is decoded to
_COUNT = 16  # frames that are sampled
_MEGABYTE = 1e6


def main(artifact: str, short: str, path: str) -> None:
    """Print the figures as JSON."""
    tune_allocator()  # as the server does
    model = load(artifact)
    decoders = IsolatedDecoders(timeout_s=LIMITS.deadline_s)
    bounds = Bounds(video=LIMITS, recording_s=LONGEST_S, decoders=decoders)
    is_clip = model.spec.task == "video-classification"

    def ask(data: bytes) -> None:
        if is_clip:
            gait(data, model, bounds=bounds)
        else:
            voice_emotion(model, data, bounds=bounds)

    def decode(data: bytes) -> None:
        if is_clip:
            decoders.sample_frames(data, count=_COUNT, steps=model.spec.preprocess, limits=LIMITS)
        else:
            for _ in decoders.stream_audio(data, sampling_rate=_RATE, max_seconds=LONGEST_S):
                pass

    ask(Path(short).read_bytes())
    before_mb = read_memory(os.getpid()).peak_mb
    data = Path(path).read_bytes()
    whole_s, decode_s = _seconds(lambda: ask(data)), _seconds(lambda: decode(data))
    peak_mb = read_memory(os.getpid()).peak_mb
    worker_mb = max((read_memory(pid).peak_mb for pid in _children()), default=0.0)
    decoders.close()
    figures = {
        "file_mb": len(data) / _MEGABYTE,
        "decode_s": decode_s,
        "whole_s": whole_s,
        "peak_mb": peak_mb,
        "more_mb": peak_mb - before_mb,
        "worker_mb": worker_mb,
    }
    print(json.dumps(figures))


def _children() -> list[int]:
    """Process ids of those that decode."""
    # of an ended child the kernel would tell its parent's size: it was a copy of it for a moment
    listed = Path("/proc/self/task").glob("*/children")
    return [int(pid) for path in listed for pid in path.read_text(encoding="ascii").split()]


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main(*sys.argv[1:])
