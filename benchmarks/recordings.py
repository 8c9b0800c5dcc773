"""Recordings of any length, to measure what length costs: a voice-like hum, a disc that moves."""

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import soundfile

from benchmarks.errors import BenchmarkError
from benchmarks.mp4 import lengthened

SOUND_RATE = 22_050  # Hz: it has to be resampled for a model
CLIP_SIZE = (1080, 1920)  # height, width
FPS = 25


def write_sound(path: Path, seconds: int) -> None:
    """A FLAC file: harmonics of a voice that rises and falls."""
    time = np.arange(SOUND_RATE) / SOUND_RATE
    pitch = 2 * np.pi * 140 * (time + 0.004 * np.sin(2 * np.pi * 3 * time))
    hum = sum(np.sin(n * pitch) / n for n in (1, 2, 3, 5, 8)) * np.hanning(SOUND_RATE)
    second = (0.3 * hum).astype(np.float32)
    with soundfile.SoundFile(path, "w", SOUND_RATE, 1, "PCM_16", format="FLAC") as file:
        for _ in range(seconds):
            file.write(second)


def clip_writer(codec: str) -> Callable[[Path, int], None]:
    """What writes MP4 files at 1080p of so many seconds; the one second is encoded once.

    Each second begins with a key frame.

    Args:
        codec: four characters that OpenCV has an encoder for.
    """

    @cache
    def second() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            return _encoded(Path(folder, "second.mp4"), codec)

    def write(path: Path, seconds: int) -> None:
        # a second more: evenly sampled, whole multiples would give the same frame each time
        path.write_bytes(lengthened(second(), seconds + 1))

    return write


def _encoded(path: Path, codec: str) -> bytes:
    height, width = CLIP_SIZE
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), FPS, (width, height))
    if not writer.isOpened():
        raise BenchmarkError(f"OpenCV has no encoder for {codec!r}")
    for number in range(FPS):
        frame = np.full((height, width, 3), (90, 120, 140), np.uint8)
        cv2.circle(frame, (200 + 60 * number, height // 2), 120, (40, 60, 200), -1)
        writer.write(frame)
    writer.release()
    return path.read_bytes()
