"""The zip that torch.save writes: `data.pkl`, `data/<key>` for each storage, `byteorder`."""

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.checkpoint.kinds import require_kind
from convert.checkpoint.unpickle.records import loads
from convert.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class TorchFile:
    """The records of a torch file, and where in the file the bytes of its tensors are."""

    path: Path
    root: Any  # plain values and Records
    folder: str  # inside the zip, ending in "/"


def read(path: Path) -> TorchFile:
    """Read the pickle of a torch file into records; tensors are read later, by `tensors`.

    Raises:
        CheckpointError: the file is no torch zip or is damaged, or its pickle names anything but
            the parts of a checkpoint.
    """
    require_kind(path, "torch")
    if not zipfile.is_zipfile(path):
        raise CheckpointError(
            f"{path}: of torch's format before 1.6, which is not read here; "
            "if you trust the file, load it with torch and torch.save it again"
        )
    with open_archive(path) as archive:
        names = archive.namelist()
        pickles = [name for name in names if re.fullmatch("[^/]*/data.pkl", name)]
        if len(pickles) != 1:
            raise CheckpointError(f"{path}: holds {len(pickles)} files data.pkl; needed: one")
        data = archive.read(pickles[0])
    return TorchFile(path, loads(data, path=path), pickles[0].removesuffix("data.pkl"))


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open the zip for reading.

    Raises:
        CheckpointError: the zip is damaged, or its parts are larger than the file. Any exception of
            the body becomes one as well: reading a damaged entry raises there.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_sizes(path, archive)
            yield archive
    except CheckpointError:
        raise
    except Exception as error:  # a damaged zip raises one of a dozen types
        raise CheckpointError(f"{path}: damaged or truncated ({_short(error)})") from error


def _check_sizes(path: Path, archive: zipfile.ZipFile) -> None:
    """Check that no entry is larger than the file: torch stores without compression."""
    entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise CheckpointError(f"{path}: a compressed zip; needed: one as torch.save writes it")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise CheckpointError(f"{path}: damaged: its parts are larger than the file")


def _short(error: Exception) -> str:
    return str(error)[:200] or type(error).__name__
