"""Encoded sounds and clips for the tests."""

import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import soundfile
from numpy.typing import NDArray


def tone(
    *, seconds: float = 1.0, rate: int = 16_000, level: float = 0.5, hertz: float = 440.0
) -> NDArray[np.float32]:
    """Return a sine, (S,) float32."""
    time = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def sound(
    samples: NDArray[np.float32],
    *,
    rate: int = 16_000,
    kind: str = "WAV",
    subtype: str | None = "FLOAT",
) -> bytes:
    """Encode samples, (S,) or (S, C), as a sound file."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def shades(levels: Sequence[int], *, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """Return a clip with one plain grey frame for each level, (n, H, W, 3) uint8."""
    clip = [np.full((height, width, 3), level, np.uint8) for level in levels]
    return np.stack(clip)


def video(
    clip: NDArray[np.uint8], folder: Path, *, kind: str = "mp4", codec: str = "mp4v", fps: int = 25
) -> bytes:
    """Encode a clip, (n, H, W, 3) uint8 RGB, as a video file; OpenCV writes it into `folder`."""
    path = folder / f"clip.{kind}"
    size = (clip.shape[2], clip.shape[1])
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, size)
    assert writer.isOpened()
    for frame in clip:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return path.read_bytes()
