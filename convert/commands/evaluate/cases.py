"""Labelled cases on disk: a folder per class, images with masks of the same stem, or a CSV."""

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from convert.errors import ConvertError

IMAGES, MASKS = "images", "masks"
COLUMNS = ("file", "label")


class CasesError(ConvertError):
    """The labelled cases are missing, contradict themselves, or do not fit the model."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """One file and the name of its class, as the directory or the CSV has it."""

    path: Path
    label: str


@dataclass(frozen=True, slots=True)
class Masked:
    """One image and its mask."""

    path: Path
    mask: Path


Case = TypeVar("Case", Labelled, Masked)


def has_masks(root: Path) -> bool:
    """Whether a directory is of images with masks."""
    return (root / IMAGES).is_dir() and (root / MASKS).is_dir()


def labelled(root: Path, suffixes: frozenset[str], ignored: Sequence[str]) -> list[Labelled]:
    """Cases of a CSV, or of a folder per class.

    Args:
        root: a CSV with the columns `file` (from where the CSV is) and `label`, or a directory
            with one in it, or with a folder per class.
        suffixes: of the files in folders that count.
        ignored: labels that are left out.

    Raises:
        CasesError: none is found, or a CSV is not of that form or names a missing file.
    """
    table = _table(root)
    found = list(_listed(table)) if table else list(_foldered(root, suffixes))
    kept = [case for case in found if case.label not in ignored]
    if not kept:
        endings = ", ".join(sorted(suffixes))
        raise CasesError(
            f"{root}: no labelled files; needed: folders of classes ({endings}) or a CSV"
        )
    return kept


def masked(root: Path, suffixes: frozenset[str]) -> list[Masked]:
    """Images and masks by their stem.

    Raises:
        CasesError: no images, or one without its mask.
    """
    if not has_masks(root):
        raise CasesError(f"{root} has no {IMAGES}/ and {MASKS}/, which this model's task needs")
    masks = {
        path.stem: path for path in sorted((root / MASKS).iterdir()) if _counts(path, suffixes)
    }
    images = [path for path in sorted((root / IMAGES).iterdir()) if _counts(path, suffixes)]
    for image in images:
        if image.stem not in masks:
            raise CasesError(
                f"{image} has no mask; needed: {root / MASKS / image.stem}.png or such"
            )
    if not images:
        raise CasesError(f"{root / IMAGES}: no images ({', '.join(sorted(suffixes))})")
    return [Masked(image, masks[image.stem]) for image in images]


def limited(cases: Sequence[Case], limit: int | None) -> Sequence[Case]:
    """So many of the cases, drawn by a hash of their names, in the order they have."""
    if limit is None or limit >= len(cases):
        return cases
    if limit < 1:
        raise CasesError(f"--limit is {limit}; at least 1")
    drawn = sorted(cases, key=lambda case: hashlib.sha256(str(case.path).encode()).digest())
    chosen = {case.path for case in drawn[:limit]}
    return [case for case in cases if case.path in chosen]


def _table(root: Path) -> Path | None:
    if root.is_file():
        return root
    if not root.is_dir():
        raise CasesError(f"{root}: no such directory or CSV")
    tables = sorted(root.glob("*.csv"))
    if len(tables) > 1:
        raise CasesError(f"{root} has {len(tables)} CSVs: name the one that is meant")
    return tables[0] if tables else None


def _listed(table: Path) -> Iterator[Labelled]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream, skipinitialspace=True)
            columns = [name.strip().lower() for name in rows.fieldnames or ()]
            rows.fieldnames = columns
            if not set(COLUMNS) <= set(columns):
                found = ", ".join(columns) or "none"
                raise CasesError(f"{table}: columns are {found}; needed: {', '.join(COLUMNS)}")
            for row in rows:
                yield _row(table, rows.line_num, row["file"], row["label"])
    except (UnicodeDecodeError, csv.Error) as error:
        raise CasesError(f"{table} is no CSV in UTF-8: {error}") from error


def _row(table: Path, line: int, file: str | None, label: str | None) -> Labelled:
    if not file or not label or not file.strip() or not label.strip():
        raise CasesError(f"{table}, line {line}: needs a file and a label")
    path = table.parent / file.strip()
    if not path.is_file():
        raise CasesError(f"{table}, line {line}: {path} is no file")
    return Labelled(path, label.strip())


def _foldered(root: Path, suffixes: frozenset[str]) -> Iterator[Labelled]:
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and not folder.name.startswith("."):
            for path in sorted(folder.rglob("*")):
                if _counts(path, suffixes):
                    yield Labelled(path, folder.name)


def _counts(path: Path, suffixes: frozenset[str]) -> bool:
    return path.suffix.lower() in suffixes and path.is_file() and not path.name.startswith(".")
