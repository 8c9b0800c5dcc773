"""From what was typed to files: names, folders with all below them, and patterns."""

import glob
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import InputError, TooLargeError

MAX_FILE_BYTES = 2**31  # read whole; what is larger is no recording that the tasks take


@dataclass(frozen=True, slots=True)
class Missing:
    """What was typed and names no file."""

    typed: str
    reason: str


def expand(typed: Iterable[str], suffixes: frozenset[str]) -> list[Path | Missing]:
    """The files, each once, in the order typed; those of a folder or a pattern are sorted.

    Args:
        typed: a file, which is taken whatever its name; a folder, of which all files below it with
            one of the suffixes are taken; or a pattern with `*`, `?`, `[...]` and `**`, likewise.
        suffixes: lower case, with the dot; folders below and names that begin with a dot are left
            out unless they are typed.
    """
    found: dict[str, Path | Missing] = {}
    for name in typed:
        for entry in _expanded(name, suffixes):
            known = entry.typed if isinstance(entry, Missing) else os.path.abspath(entry)
            found.setdefault(known, entry)
    return list(found.values())


def read_file(path: Path) -> bytes:
    """All of a file.

    Raises:
        OSError: it cannot be read.
        InputError: it is not a regular file, or larger than MAX_FILE_BYTES.
    """
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise TooLargeError(f"the file has {size} bytes; allowed: {MAX_FILE_BYTES}")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except MemoryError:
        raise TooLargeError("the file needs more memory than is free") from None
    if len(data) > MAX_FILE_BYTES:  # of what has no size of its own, as a pipe
        raise TooLargeError(f"the file has more bytes than are allowed: {MAX_FILE_BYTES}")
    return data


def shown(name: str) -> str:
    """A name for a terminal: what would move its cursor, or is no text at all, is escaped."""
    return name if name.isprintable() else ascii(name)[1:-1]


def error_reason(error: BaseException, beside: str = "") -> str:
    """What to tell of an error, with the path it is about where that is not the one beside it."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error) or type(error).__name__
    path = "" if error.filename is None else os.fsdecode(error.filename)
    return f"{shown(path)}: {error.strerror}" if path and path != beside else error.strerror


@contextmanager
def naming(path: Path, option: str = "") -> Iterator[None]:
    """What is refused within says which file it is, where it is not one of those answered for."""
    try:
        yield
    except (InputError, OSError) as error:
        reason = error_reason(error, beside=str(path))
        raise InputError(f"{option}{shown(str(path))}: {reason}") from None


class Targets:
    """Where pictures go: one named file, or a folder with a file for each source."""

    def __init__(self, option: str, out: Path, suffix: str) -> None:
        """Take the place for files with a suffix; `option` is who asked, for messages."""
        self._option, self._out, self._suffix = option, out, suffix
        self._taken: set[str] = set()

    @property
    def is_file(self) -> bool:
        """Whether the place is one file."""
        return self._out.suffix.lower() == self._suffix and not self._out.is_dir()

    def check(self, sources: int) -> None:
        """Refuse one file for several sources, before any is worked on.

        Raises:
            InputError: it says what to name instead.
            OSError: the folder cannot be made.
        """
        if self.is_file and sources > 1:
            raise InputError(
                f"{self._option} {self._out} is one file for {sources}; allowed: a folder"
            )
        if self._out.suffix and not self.is_file and not self._out.is_dir():
            raise InputError(
                f"{self._option} is {self._out}; allowed: a name that ends in {self._suffix}, "
                "or a folder"
            )
        folder = self._out.parent if self.is_file else self._out
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise InputError(
                f"{self._option} is {self._out}, where a file is in the way; allowed: a folder"
            ) from None

    def path_for(self, source: Path) -> Path:
        """A path that no source before had."""
        if self.is_file:
            return self._out
        name, number = source.stem, 1
        while name.lower() in self._taken:
            number += 1
            name = f"{source.stem}-{number}"
        self._taken.add(name.lower())
        return self._out / f"{name}{self._suffix}"


def _expanded(name: str, suffixes: frozenset[str]) -> Iterator[Path | Missing]:
    path = Path(name)
    if name == "-" and not os.path.lexists(name):
        yield Missing(name, "no such file; standard input is /dev/stdin")
        return
    is_pattern = glob.has_magic(name) and not os.path.lexists(name)
    if not path.is_dir() and not is_pattern:
        yield path
        return
    found = _matching(name, suffixes) if is_pattern else _below(path, suffixes)
    yield from found
    if not found:
        verb = "matches" if is_pattern else "holds"
        yield Missing(name, f"{verb} no file of {', '.join(sorted(suffixes))}")


def _below(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        paths = (Path(place, each) for each in names if not each.startswith("."))
        found += [path for path in paths if path.suffix.lower() in suffixes and path.is_file()]
    return sorted(found)


def _matching(pattern: str, suffixes: frozenset[str]) -> list[Path]:
    matches = sorted(Path(match) for match in glob.glob(pattern, recursive=True))
    found = [path for path in matches if path.suffix.lower() in suffixes and path.is_file()]
    # a pattern of `**` finds what is in a folder by itself
    folders = [] if "**" in pattern else [path for path in matches if path.is_dir()]
    return sorted({*found, *(path for folder in folders for path in _below(folder, suffixes))})
