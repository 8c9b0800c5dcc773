"""Read labelled cases: a folder per class, images with masks of the same stem, or a CSV."""

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
class LabelledCase:
    """One file and the name of its class, as the directory or the CSV writes it."""

    path: Path
    label: str


@dataclass(frozen=True, slots=True)
class MaskedCase:
    """One image and its mask."""

    path: Path
    mask: Path


Case = TypeVar("Case", LabelledCase, MaskedCase)


def has_masks(root: Path) -> bool:
    """Check whether a directory holds images with masks."""
    return (root / IMAGES).is_dir() and (root / MASKS).is_dir()


def read_labelled(
    root: Path, suffixes: frozenset[str], ignored_labels: Sequence[str]
) -> list[LabelledCase]:
    """Read the cases of a CSV, or of a folder per class.

    Args:
        root: a CSV with the columns `file` (relative to the CSV) and `label`, or a directory that
            holds one, or a directory with a folder per class.
        suffixes: suffixes of the files to read from folders.
        ignored_labels: labels whose cases are left out.

    Raises:
        CasesError: there is none, or a CSV has another form or names a missing file.
    """
    table = _table(root)
    cases = list(_read_csv(table)) if table else list(_read_folders(root, suffixes))
    cases = [case for case in cases if case.label not in ignored_labels]
    if not cases:
        endings = ", ".join(sorted(suffixes))
        raise CasesError(
            f"{root}: no labelled files; needed: folders of classes ({endings}) or a CSV"
        )
    return cases


def read_masked(root: Path, suffixes: frozenset[str]) -> list[MaskedCase]:
    """Read pairs of an image and a mask with the same stem.

    Raises:
        CasesError: there is no image, or one has no mask.
    """
    if not has_masks(root):
        raise CasesError(f"{root} has no {IMAGES}/ and {MASKS}/, which this model's task needs")
    masks = {
        path.stem: path for path in sorted((root / MASKS).iterdir()) if _is_medium(path, suffixes)
    }
    images = [path for path in sorted((root / IMAGES).iterdir()) if _is_medium(path, suffixes)]
    for image in images:
        if image.stem not in masks:
            raise CasesError(
                f"{image} has no mask; needed: {root / MASKS / image.stem}.png or such"
            )
    if not images:
        raise CasesError(f"{root / IMAGES}: no images ({', '.join(sorted(suffixes))})")
    return [MaskedCase(image, masks[image.stem]) for image in images]


def subset(cases: Sequence[Case], limit: int | None) -> Sequence[Case]:
    """Select `limit` cases, the same ones each time, in their order; None: all of them.

    The hash of a path decides, not the order: the first cases of a directory are of one class.

    Raises:
        CasesError: `limit` is under 1.
    """
    if limit is None or limit >= len(cases):
        return cases
    if limit < 1:
        raise CasesError(f"--limit is {limit}; at least 1")
    by_hash = sorted(cases, key=lambda case: hashlib.sha256(str(case.path).encode()).digest())
    paths = {case.path for case in by_hash[:limit]}
    return [case for case in cases if case.path in paths]


def _table(root: Path) -> Path | None:
    """Return the CSV that `root` is or holds; None if it holds none."""
    if root.is_file():
        return root
    if not root.is_dir():
        raise CasesError(f"{root}: no such directory or CSV")
    tables = sorted(root.glob("*.csv"))
    if len(tables) > 1:
        raise CasesError(f"{root} has {len(tables)} CSVs: name the one that is meant")
    return tables[0] if tables else None


def _read_csv(table: Path) -> Iterator[LabelledCase]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream, skipinitialspace=True)
            columns = [name.strip().lower() for name in rows.fieldnames or ()]
            rows.fieldnames = columns
            if not set(COLUMNS) <= set(columns):
                names = ", ".join(columns) or "none"
                raise CasesError(f"{table}: columns are {names}; needed: {', '.join(COLUMNS)}")
            for row in rows:
                yield _parse_row(table, rows.line_num, row["file"], row["label"])
    except (UnicodeDecodeError, csv.Error) as error:
        raise CasesError(f"{table} is no CSV in UTF-8: {error}") from error


def _parse_row(table: Path, line: int, file: str | None, label: str | None) -> LabelledCase:
    if not file or not label or not file.strip() or not label.strip():
        raise CasesError(f"{table}, line {line}: needs a file and a label")
    path = table.parent / file.strip()
    if not path.is_file():
        raise CasesError(f"{table}, line {line}: {path} is no file")
    return LabelledCase(path, label.strip())


def _read_folders(root: Path, suffixes: frozenset[str]) -> Iterator[LabelledCase]:
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and not folder.name.startswith("."):
            for path in sorted(folder.rglob("*")):
                if _is_medium(path, suffixes):
                    yield LabelledCase(path, folder.name)


def _is_medium(path: Path, suffixes: frozenset[str]) -> bool:
    return path.suffix.lower() in suffixes and path.is_file() and not path.name.startswith(".")
