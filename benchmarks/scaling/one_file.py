"""Measure what one function of one file costs: the process that `benchmarks.scaling` starts.

    python -m benchmarks.scaling.one_file FUNCTION SMALL_FILE FILE [ARTIFACT]

The function is called with the small file first, so that costs of the first call are not counted.
"""

import ctypes
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2

from benchmarks.errors import BenchmarkError
from benchmarks.server import read_memory
from runtime import Model, load
from runtime.engine.allocator import tune_allocator
from runtime.media.images.decode import decode_image
from runtime.media.isolation.pool import IsolatedDecoders
from runtime.media.video.sample import VideoLimits
from runtime.predict.prepare import Bounds
from runtime.tasks.background import background
from runtime.tasks.gait import gait
from runtime.tasks.voice_emotion import voice_emotion

LIMITS = VideoLimits(frames=100_000, seconds=3600.0, deadline_s=600.0)
LONGEST_S = 3700.0  # of a recording
WHITE = (255, 255, 255)
RATE = 16_000  # Hz
FRAMES = 16  # sampled from a clip
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one call. MB are 10^6 bytes."""

    wall_s: float
    cpu_s: float  # of the calling process alone
    more_mb: float  # peak of resident memory during the call, above that before it
    worker_mb: float  # peak of the largest decoder process; 0 without one


def _decode_image(data: bytes, _model: Model | None, _bounds: Bounds) -> object:
    return decode_image(data)


def _decode_sound(data: bytes, _model: Model | None, bounds: Bounds) -> object:
    decoders, longest_s = bounds.decoders, bounds.recording_s
    return sum(map(len, decoders.stream_audio(data, sampling_rate=RATE, max_seconds=longest_s)))


def _decode_clip(data: bytes, _model: Model | None, bounds: Bounds) -> object:
    return bounds.decoders.sample_frames(data, count=FRAMES, steps=(), limits=bounds.video)


def _predict(data: bytes, model: Model | None, _bounds: Bounds) -> object:
    return _required(model).predict(data)


def _cut_out_png(data: bytes, model: Model | None, _bounds: Bounds) -> object:
    return background(data, _required(model)).encode()


def _cut_out_jpeg(data: bytes, model: Model | None, _bounds: Bounds) -> object:
    return background(data, _required(model)).encode(backdrop=WHITE, form="jpeg")


def _voice_emotion(data: bytes, model: Model | None, bounds: Bounds) -> object:
    return voice_emotion(_required(model), data, bounds=bounds)


def _gait(data: bytes, model: Model | None, bounds: Bounds) -> object:
    return gait(data, _required(model), bounds=bounds)


def _required(model: Model | None) -> Model:
    if model is None:
        raise BenchmarkError("this function needs an artifact")
    return model


FUNCTIONS: Mapping[str, Callable[[bytes, Model | None, Bounds], object]] = {
    "decode image": _decode_image,
    "predict": _predict,
    "cut out, PNG": _cut_out_png,
    "cut out, JPEG": _cut_out_jpeg,
    "decode sound": _decode_sound,
    "voice emotion": _voice_emotion,
    "decode clip": _decode_clip,
    "gait": _gait,
}


def main(name: str, small: str, path: str, artifact: str | None = None) -> None:
    """Print the cost of a function of FUNCTIONS as JSON."""
    tune_allocator()  # as the server does
    cv2.setNumThreads(1)
    function, model = FUNCTIONS[name], load(artifact) if artifact else None
    with IsolatedDecoders(timeout_s=LIMITS.deadline_s) as decoders:
        bounds = Bounds(video=LIMITS, recording_s=LONGEST_S, decoders=decoders)
        function(Path(small).read_bytes(), model, bounds)
        data = Path(path).read_bytes()
        cost = measure_call(lambda: function(data, model, bounds))
    print(json.dumps(asdict(cost)))


def measure_call(call: Callable[[], object]) -> Cost:
    """Call once and return what it cost.

    Raises:
        BenchmarkError: the kernel does not let the process reset its peak of memory.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # memory that the heap keeps would be reused without a trace
    _reset_peak()
    before = read_memory(os.getpid()).resident_mb
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    worker_mb = max((read_memory(pid).peak_mb for pid in _children()), default=0.0)
    return Cost(wall_s, cpu_s, read_memory(os.getpid()).peak_mb - before, worker_mb)


def _reset_peak() -> None:
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK, encoding="ascii")
    except OSError as error:
        raise BenchmarkError(
            f"{_CLEAR_REFS} cannot be written ({error.strerror}); Linux resets a peak there"
        ) from error


def _children() -> list[int]:
    """Return the process ids of the decoders."""
    # read while they run: of an ended child the kernel reports the size of its parent at the fork
    lists = Path("/proc/self/task").glob("*/children")
    return [int(pid) for path in lists for pid in path.read_text(encoding="ascii").split()]


if __name__ == "__main__":
    main(*sys.argv[1:])
