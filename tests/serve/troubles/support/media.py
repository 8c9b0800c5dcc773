"""Pictures, clips and sounds whose answers differ."""

from pathlib import Path

import numpy as np

from tests.runtime.support.recordings import shades, sound, tone, video
from tests.support.images import png, solid


def colours(count: int) -> list[bytes]:
    """Return plain pictures, no two of one colour."""
    return [
        solid(40 + 7 * index % 200, 3 * index % 256, 255 - index % 256) for index in range(count)
    ]


def greys(*levels: int) -> list[bytes]:
    """Return plain grey pictures."""
    return [solid(level, level, level) for level in levels]


def photos(count: int, *, height: int = 480, width: int = 640) -> list[bytes]:
    """Return pictures with blurred shapes, as large as photos, no two alike."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    pictures = []
    for index in range(count):
        x, y = width * (0.3 + 0.05 * index % 0.5), height * 0.5
        disc = ((columns - x) ** 2 + (rows - y) ** 2 < (height / 4) ** 2) * 160.0
        planes = [disc + columns / width * 60, disc + 20 + index % 40, 200 - disc]
        pictures.append(png(np.clip(np.stack(planes, axis=2), 0, 255).astype(np.uint8)))
    return pictures


def clip(folder: Path, *, level: int = 255, frames: int = 31) -> bytes:
    """Return an MP4 of plain grey frames."""
    return video(shades([level] * frames), folder, fps=10)


def flac(seconds: float = 2.0) -> bytes:
    """Return a compressed sound: a tone."""
    return sound(tone(seconds=seconds), kind="FLAC", subtype="PCM_16")
