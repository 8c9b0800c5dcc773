"""Input files of the command line (names, folders, patterns) and output files of its pictures."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import InputError, TooLargeError

# A file is read whole into memory. No task accepts a recording of this size.
MAX_FILE_BYTES = 2**31


@dataclass(frozen=True, slots=True)
class NoFile:
    """An argument that names no file, and the reason."""

    argument: str
    reason: str


@dataclass(frozen=True, slots=True)
class PassedOver:
    """Files of a folder or pattern that a command does not read, by their suffix."""

    argument: str
    paths: tuple[Path, ...]  # at least one, sorted

    @property
    def message(self) -> str:
        """Return a sentence with the number of the files and the names of the first three."""
        names = ", ".join(printable(path.name) for path in self.paths[:3])
        more = ", ..." if len(self.paths) > 3 else ""
        files = "1 file" if len(self.paths) == 1 else f"{len(self.paths)} files"
        return f"passed over {files} of other suffixes: {names}{more}"


def passed_over(arguments: Iterable[str], suffixes: frozenset[str]) -> list[PassedOver]:
    """Return the files of folders and patterns that `expand` leaves out for their suffix.

    Hidden files are left out of both.
    """
    entries = []
    for argument in arguments:
        if _is_group(argument):
            paths = _group(argument, lambda path: path.suffix.lower() not in suffixes)
            if paths:
                entries.append(PassedOver(argument, tuple(paths)))
    return entries


def expand(arguments: Iterable[str], suffixes: frozenset[str]) -> list[Path | NoFile]:
    """Return the files that the arguments name, each once, in the order of the arguments.

    Args:
        arguments: each is a file, accepted with any suffix; a folder, which stands for the files
            with one of the suffixes anywhere below it; or a pattern with `*`, `?`, `[...]` and
            `**`, which stands for the matching files with one of the suffixes. The files of a
            folder or pattern are sorted.
        suffixes: lower case, with the dot. Hidden files and folders (".name") are skipped unless
            an argument names them.
    """
    entries: dict[str, Path | NoFile] = {}
    for argument in arguments:
        for entry in _expand_one(argument, suffixes):
            key = entry.argument if isinstance(entry, NoFile) else os.path.abspath(entry)
            entries.setdefault(key, entry)
    return list(entries.values())


def read_file(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        OSError: the file cannot be read.
        TooLargeError: the file is larger than MAX_FILE_BYTES or than the free memory.
    """
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise TooLargeError(f"the file has {size} bytes; allowed: {MAX_FILE_BYTES}")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except MemoryError:
        raise TooLargeError("the file needs more memory than is free") from None
    if len(data) > MAX_FILE_BYTES:  # a pipe or device, whose `stat` says 0 bytes
        raise TooLargeError(f"the file has more bytes than are allowed: {MAX_FILE_BYTES}")
    return data


def printable(name: str) -> str:
    """Escape a file name that holds control characters or bytes that are no text.

    A terminal would obey control characters: a file name could move the cursor or erase lines.
    """
    return name if name.isprintable() else ascii(name)[1:-1]


def error_reason(error: BaseException, subject: str = "") -> str:
    """Return the message of an error; of an OSError without its number.

    Args:
        error: any error.
        subject: the path that the message follows. If the error is about another path, the
            message names that path.
    """
    if not isinstance(error, OSError) or not error.strerror:
        return str(error) or type(error).__name__
    path = "" if error.filename is None else os.fsdecode(error.filename)
    return f"{printable(path)}: {error.strerror}" if path and path != subject else error.strerror


@contextmanager
def error_context(path: Path, option: str = "") -> Iterator[None]:
    """Put a path in front of the errors inside the block.

    For files that are no input of the loop, whose errors would otherwise not say which file.

    Raises:
        InputError: in place of an InputError or OSError.
    """
    try:
        yield
    except (InputError, OSError) as error:
        reason = error_reason(error, subject=str(path))
        raise InputError(f"{option}{printable(str(path))}: {reason}") from None


class OutputPaths:
    """The files that a command writes: one named file, or a folder with a file per input."""

    def __init__(self, option: str, out: Path, suffix: str) -> None:
        """Name the option for error messages, the file or folder, and the suffix of the files."""
        self._option, self._out, self._suffix = option, out, suffix
        self._stems: set[str] = set()

    @property
    def is_file(self) -> bool:
        """Return True if the output is one named file."""
        return self._out.suffix.lower() == self._suffix and not self._out.is_dir()

    def check(self, inputs: int) -> None:
        """Make the folder; refuse one output file for several inputs, before any is processed.

        Raises:
            InputError: the output is one file for several inputs, has another suffix, or lies
                below a file.
            OSError: the folder cannot be made.
        """
        if self.is_file and inputs > 1:
            raise InputError(
                f"{self._option} {self._out} is one file for {inputs}; allowed: a folder"
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
        """Return the output path of an input; in a folder, a name that no other input got."""
        if self.is_file:
            return self._out
        stem, number = source.stem, 1
        while stem.lower() in self._stems:
            number += 1
            stem = f"{source.stem}-{number}"
        self._stems.add(stem.lower())
        return self._out / f"{stem}{self._suffix}"


def _expand_one(argument: str, suffixes: frozenset[str]) -> Iterator[Path | NoFile]:
    path = Path(argument)
    if argument == "-" and not os.path.lexists(argument):
        yield NoFile(argument, "no such file; standard input is /dev/stdin")
        return
    if not _is_group(argument):
        yield path
        return
    paths = _group(argument, lambda path: path.suffix.lower() in suffixes)
    yield from paths
    if not paths:
        verb = "holds" if path.is_dir() else "matches"
        yield NoFile(argument, f"{verb} no file of {', '.join(sorted(suffixes))}")


def _is_group(argument: str) -> bool:
    """Return whether an argument is a folder or a pattern."""
    is_pattern = glob.has_magic(argument) and not os.path.lexists(argument)
    return is_pattern or Path(argument).is_dir()


def _group(argument: str, selects: Callable[[Path], bool]) -> list[Path]:
    """Return the files of a folder or pattern that a function selects, sorted."""
    path = Path(argument)
    return _files_below(path, selects) if path.is_dir() else _matches(argument, selects)


def _files_below(folder: Path, selects: Callable[[Path], bool]) -> list[Path]:
    files: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = (Path(parent, name) for name in names if not name.startswith("."))
        files += [path for path in paths if selects(path) and path.is_file()]
    return sorted(files)


def _matches(pattern: str, selects: Callable[[Path], bool]) -> list[Path]:
    matches = sorted(Path(match) for match in glob.glob(pattern, recursive=True))
    files = [path for path in matches if selects(path) and path.is_file()]
    # `**` descends into folders itself
    folders = [] if "**" in pattern else [path for path in matches if path.is_dir()]
    below = (path for folder in folders for path in _files_below(folder, selects))
    return sorted({*files, *below})
