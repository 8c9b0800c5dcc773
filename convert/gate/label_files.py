"""Files of labels beside images: boxes as YOLO writes them, and masks as images.

Boxes are in `labels/` beside `images/`, or beside the image: one text file of its stem, one line a
box, `class x y width height`, where x and y are its center and all four are shares of the image's
sides. A line of a polygon, `class x y x y ...`, is the box around it. Classes are numbers of the
model's labels, from 0. An empty file says that the image shows nothing.

Masks are in `masks/` beside `images/`, an image of the same stem and size, white where the object
is.

Source: the format of datasets of ultralytics 8.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.errors import LabelsError
from runtime.arrays import Image
from runtime.errors import InputError
from runtime.media.images.decode import decode_image
from runtime.media.suffixes import IMAGES as SUFFIXES

IMAGES, LABELS, MASKS = "images", "labels", "masks"  # folders
MAX_FILE_BYTES = 1_000_000
MAX_MASK_BYTES = 100_000_000
MAX_BOXES = 1000  # of one image
ROUNDING = 1e-3  # by which a share may lie outside of the image


@dataclass(frozen=True, slots=True)
class Shares:
    """The labelled boxes of one image, as shares of its sides."""

    xyxy: NDArray[np.float64]  # (M, 4) left, top, right, bottom
    classes: NDArray[np.int64]  # (M,)


def beside(path: Path, folder: str) -> Path:
    """Return the path with its last folder `images` replaced; unchanged without one."""
    parts = list(path.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == IMAGES:
            parts[index] = folder
            break
    return Path(*parts)


def is_label(path: Path, directory: Path) -> bool:
    """Return whether a file below a directory is a label by its place: in `labels` or `masks`."""
    return bool({LABELS, MASKS} & set(path.relative_to(directory).parts[:-1]))


def find_boxes(image: Path) -> Path | None:
    """Return the file with an image's boxes; None: it has none."""
    candidates = (beside(image, LABELS).with_suffix(".txt"), image.with_suffix(".txt"))
    return next((path for path in candidates if path.is_file()), None)


def find_mask(image: Path) -> Path | None:
    """Return the file with an image's mask, a PNG before others; None: it has none."""
    stem = beside(image, MASKS)
    if stem == image:  # not below a folder `images`
        return None
    suffixes = (".png", *sorted(SUFFIXES))
    candidates = (stem.with_suffix(suffix) for suffix in suffixes)
    return next((path for path in candidates if path.is_file()), None)


def within_limits(path: Path) -> Path:
    """Return the path of a file of labels.

    Raises:
        LabelsError: it has more bytes than boxes or a mask may have.
    """
    limit = MAX_FILE_BYTES if path.suffix == ".txt" else MAX_MASK_BYTES
    size = path.stat().st_size
    if size > limit:
        raise LabelsError(f"{path}: {size} bytes of labels; allowed: {limit}")
    return path


def read_boxes(path: Path, labels: Sequence[str]) -> Shares:
    """Read the boxes of one image.

    Raises:
        LabelsError: the file is too large or no text, or a line is no box of the model's classes.
    """
    try:
        lines = within_limits(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise LabelsError(f"{path}: labels are text in UTF-8; byte {error.start} is not") from error
    rows = [
        _parse(line.split(), f"{path}, line {number}", labels)
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]
    if len(rows) > MAX_BOXES:
        raise LabelsError(f"{path}: {len(rows)} boxes; allowed: {MAX_BOXES}")
    boxes = np.array([box for _, box in rows], np.float64).reshape(-1, 4)
    return Shares(boxes, np.array([class_id for class_id, _ in rows], np.int64))


def _parse(fields: Sequence[str], where: str, labels: Sequence[str]) -> tuple[int, list[float]]:
    if len(fields) != 5 and (len(fields) < 7 or len(fields) % 2 == 0):
        raise LabelsError(
            f"{where}: {len(fields)} values; needed: class x y width height, or a class and the "
            "corners of a polygon"
        )
    class_id = _class(fields[0], where, labels)
    try:
        values = [float(field) for field in fields[1:]]
    except ValueError as error:
        raise LabelsError(f"{where}: {error}; needed: shares of the image's sides") from error
    for value in values:
        if not (math.isfinite(value) and -ROUNDING <= value <= 1 + ROUNDING):
            raise LabelsError(
                f"{where}: {value:g} is no share of the image's sides; allowed: 0 to 1, not px"
            )
    if len(values) == 4:
        x, y, width, height = values
        box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    else:
        box = [min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])]
    if not (box[2] > box[0] and box[3] > box[1]):
        raise LabelsError(f"{where}: the box has no area")
    return class_id, [min(max(value, 0.0), 1.0) for value in box]


def _class(text: str, where: str, labels: Sequence[str]) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
    if not 0 <= number < len(labels):
        last = len(labels) - 1
        raise LabelsError(
            f"{where}: the class is {text[:20]!r}; allowed: 0 ({labels[0]}) to {last} "
            f"({labels[last]}), in the order of the model's labels"
        )
    return number


def read_mask(path: Path, height: int, width: int) -> Image:
    """Read the mask of an image of height x width px, (H, W, 3).

    Raises:
        LabelsError: it is unreadable, too large or of another size.
    """
    try:
        mask = decode_image(within_limits(path).read_bytes())
    except (InputError, OSError) as error:
        raise LabelsError(f"{path}: {error}") from error
    if mask.shape[:2] != (height, width):
        size = f"{mask.shape[1]} x {mask.shape[0]}"
        raise LabelsError(f"{path} has {size} px; its image has {width} x {height}")
    return mask
