"""Write photos, sounds and clips of any size, to measure what size costs."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import soundfile

from benchmarks.errors import BenchmarkError

SOUND_RATE = 22_050  # Hz: voice models take 16 kHz, so that the sound has to be resampled
CLIP_SIZE = (720, 1280)  # height, width
FPS = 25


def write_photo(path: Path, megapixels: float) -> None:
    """Write a JPEG file of a bright, soft disc on a textured ground, 4 to 3."""
    height = int((megapixels * 0.75e6) ** 0.5)
    width = int(megapixels * 1e6 / height)  # rounded down: 50 megapixels is the decoder's limit
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 140, (90, 120, 3), np.uint8)
    cv2.circle(coarse, (60, 45), 25, (200, 180, 240), -1, cv2.LINE_AA)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    if not cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 90]):
        raise BenchmarkError(f"{path} was not written")


def write_sound(path: Path, seconds: float) -> None:
    """Write a FLAC file of harmonics like those of a voice that rises and falls every second."""
    time = np.arange(SOUND_RATE) / SOUND_RATE
    pitch = 2 * np.pi * 140 * (time + 0.004 * np.sin(2 * np.pi * 3 * time))
    hum = sum(np.sin(n * pitch) / n for n in (1, 2, 3, 5, 8)) * np.hanning(SOUND_RATE)
    second = (0.3 * hum).astype(np.float32)
    with soundfile.SoundFile(path, "w", SOUND_RATE, 1, "PCM_16", format="FLAC") as file:
        for _ in range(round(seconds)):
            file.write(second)


def clip_writer(codec: str) -> Callable[[Path, float], None]:
    """Return a function that writes an MP4 file, 720p, of a moving disc in a number of frames.

    Args:
        codec: four characters that OpenCV has an encoder for.
    """

    def write(path: Path, frames: float) -> None:
        height, width = CLIP_SIZE
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), FPS, (width, height))
        if not writer.isOpened():
            raise BenchmarkError(f"OpenCV has no encoder for {codec!r}")
        for number in range(round(frames)):
            frame = np.full((height, width, 3), (90, 120, 140), np.uint8)
            cv2.circle(frame, (60 * number % width, height // 2), 80, (40, 60, 200), -1)
            writer.write(frame)
        writer.release()

    return write
