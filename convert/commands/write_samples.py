"""`python -m convert samples`: write photos from installed packages, to try a server with."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from convert.errors import CheckpointError
from convert.samples.photos import PHOTOS, Photo
from convert.weights.installed import find_installed
from runtime.errors import InputError

CREDITS = "CREDITS.txt"


def write_samples(options: argparse.Namespace) -> int:
    """Write the photos whose packages are installed; return exit code 1 if one is damaged."""
    folder: Path = options.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        absent = _write(folder)
    except (CheckpointError, InputError, OSError) as error:
        print(f"convert: {error}", file=sys.stderr)
        return 1
    if absent:
        print(
            f"convert: no {', '.join(absent)}: install requirements/samples.txt for photos",
            file=sys.stderr,
        )
    return 0


def _write(folder: Path) -> list[str]:
    """Write the photos and their credits; return the names of those without a package."""
    absent, credit_lines = [], []
    for photo in PHOTOS:
        path = find_installed(photo.source)
        if path is None:
            absent.append(photo.name)
            continue
        (folder / photo.name).write_bytes(encode(photo, path.read_bytes()))
        credit_lines.append(f"{photo.name}: {'; '.join(credits_of(photo))}\n")
    if credit_lines:
        (folder / CREDITS).write_text("".join(credit_lines), encoding="utf-8")
    return absent


def credits_of(photo: Photo) -> Iterator[str]:
    """Yield who made a photo, its licence, its package, and what was changed."""
    yield photo.credit
    yield photo.source.licence
    yield f"from {photo.source.package} {photo.source.version}"
    if photo.crop is not None:
        yield "cut out"
    if photo.scale is not None:
        yield "made smaller"


def encode(photo: Photo, content: bytes) -> bytes:
    """Return the bytes of a sample: the file of the package, or the part or size of it.

    Raises:
        InputError: the file is no picture.
    """
    if photo.crop is None and photo.scale is None:
        return content
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{photo.source.path}: no picture")
    if photo.crop is not None:
        crop = photo.crop
        image = image[crop.y1 : crop.y2, crop.x1 : crop.x2]
    if photo.scale is not None:
        image = cv2.resize(
            image, None, fx=photo.scale, fy=photo.scale, interpolation=cv2.INTER_AREA
        )
    _, encoded = cv2.imencode(Path(photo.name).suffix, image)
    return encoded.tobytes()
