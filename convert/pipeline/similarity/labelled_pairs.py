"""Labelled pairs of images: a table or folders, as `--pairs` names them."""

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from convert.errors import PairsError
from convert.files import sha256
from runtime.media.suffixes import IMAGES

Kind = Literal["identical", "similar", "different"]
KINDS: tuple[Kind, ...] = get_args(Kind)
COLUMNS = ("image_a", "image_b", "kind")
TABLE = "pairs.csv"  # a folder that holds this table is read through it
FORMS = f"a CSV of {','.join(COLUMNS)}, or a folder KIND/PAIR/ of two images each"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two images, and the label that a person gave them."""

    image_a: Path
    image_b: Path
    kind: Kind


@dataclass(frozen=True, slots=True)
class Pairs:
    """All labelled pairs of one source."""

    source: Path
    digest: str  # "sha256:..." of kinds and image bytes, whatever the names and the order
    pairs: tuple[Pair, ...]


def read_pairs(path: Path) -> Pairs:
    """Read labelled pairs.

    Args:
        path: FORMS; the paths in a table are relative to its folder.

    Raises:
        PairsError: no such file, another form, an unknown kind, or a missing image.
    """
    if path.is_dir() and (path / TABLE).is_file():
        path = path / TABLE
    try:
        pairs = tuple(_in_folders(path) if path.is_dir() else _in_table(path))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PairsError(f"{path}: not readable ({error}); needed: {FORMS}") from None
    if not pairs:
        raise PairsError(f"{path}: no pairs; needed: {FORMS}")
    return Pairs(path, _digest(pairs), pairs)


def _in_table(path: Path) -> Iterator[Pair]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = csv.DictReader(stream)
        missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            columns = ", ".join(rows.fieldnames or ()) or "nothing"
            raise PairsError(f"{path}: columns {columns}; needed: {', '.join(COLUMNS)}")
        for row in rows:
            place = f"{path}: line {rows.line_num}"
            images = [_image(path.parent, row[name], place) for name in COLUMNS[:2]]
            yield Pair(images[0], images[1], _kind(row["kind"], place))


def _in_folders(path: Path) -> Iterator[Pair]:
    for folder in sorted(entry for entry in path.iterdir() if entry.is_dir()):
        kind = _kind(folder.name, f"{folder}")
        for pair in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
            images = sorted(
                file
                for file in pair.iterdir()
                if file.suffix.lower() in IMAGES and not file.name.startswith(".")
            )
            if len(images) != 2:
                raise PairsError(f"{pair}: {len(images)} images; needed: 2")
            yield Pair(images[0], images[1], kind)


def _image(folder: Path, name: str | None, place: str) -> Path:
    image = folder / (name or "").strip()
    if not image.is_file():
        raise PairsError(f"{place}: no image {image}")
    return image


def _kind(name: str | None, place: str) -> Kind:
    label = (name or "").strip().lower()
    for kind in KINDS:
        if kind == label:
            return kind
    raise PairsError(f"{place}: kind {name!r}; allowed: {', '.join(KINDS)}")


def _digest(pairs: tuple[Pair, ...]) -> str:
    hashes = {image: sha256(image) for pair in pairs for image in (pair.image_a, pair.image_b)}
    rows = sorted([pair.kind, hashes[pair.image_a], hashes[pair.image_b]] for pair in pairs)
    return f"sha256:{hashlib.sha256(json.dumps(rows).encode()).hexdigest()}"
