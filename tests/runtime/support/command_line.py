"""Run `python -m runtime` in this process or in another, and read what it writes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

PROJECT = Path(__file__).parents[3]


def command_line(artifacts: Path, command: str, *arguments: str | Path) -> list[str]:
    """Return the arguments of a command on these artifacts."""
    return [command, "--artifacts", str(artifacts), *(str(argument) for argument in arguments)]


def start(arguments: list[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start the command in a process of its own; `options` are those of Popen."""
    return subprocess.Popen([sys.executable, "-m", "runtime", *arguments], cwd=PROJECT, **options)


def json_lines(text: str) -> list[dict[str, Any]]:
    """Parse one JSON object per line."""
    return [json.loads(line) for line in text.splitlines()]


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file as (H, W, 3) RGB."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    assert image is not None
    return np.asarray(image, np.uint8)
