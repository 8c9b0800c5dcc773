"""Arriving files: written beside the artifacts, checked, and renamed into place when complete."""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from runtime.artifact.manifest import MANIFEST, read_manifest, verify_file
from runtime.errors import ArtifactError, SlipwayError
from runtime.transport.contents import ROUTING, Item, check_version
from runtime.transport.limits import Limits

WORK = ".work"  # of a directory of artifacts; readers ignore it
LOCK_PAUSE_S = 0.1
Fetch = Callable[[Item, Path], None]  # writes a file whose hash and size are checked, or raises
Report = Callable[[str], None]


@contextmanager
def staging(out: Path, key: str, limits: Limits) -> Iterator[Path]:
    """Lock a directory of artifacts and yield one for files that arrive.

    What a killed transfer of the same key has left is there again; what others left is deleted.

    Args:
        out: the directory of artifacts, made if absent.
        key: of what arrives, as a file name.
        limits: of the wait for another transfer.

    Raises:
        ArtifactError: the directory cannot be written.
    """
    stage = out / WORK / f"pull-{key}"
    try:
        stage.parent.mkdir(parents=True, exist_ok=True)
        with (stage.parent / "pull.lock").open("w") as stream:
            _lock(stream.fileno(), limits)
            for other in stage.parent.glob("pull-*"):
                if other != stage:
                    shutil.rmtree(other, ignore_errors=True)
            stage.mkdir(exist_ok=True)
            yield stage
            shutil.rmtree(stage, ignore_errors=True)
    except OSError as error:
        path = error.filename or out
        raise ArtifactError(f"{path} cannot be written: {error.strerror}") from error


def _lock(descriptor: int, limits: Limits) -> None:
    while True:
        with suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        limits.check()
        time.sleep(LOCK_PAUSE_S)


def install(
    items: Sequence[Item],
    out: Path,
    stage: Path,
    fetch: Fetch,
    *,
    where: str,
    report: Report,
    donors: Iterable[Path] = (),
) -> None:
    """Fetch what is absent, check it, and rename each version into place.

    Args:
        items: that were checked by `check_items`.
        out: directory of artifacts.
        stage: on the same file system.
        fetch: gets one file.
        where: the items come from, for messages.
        report: takes one line for each version.
        donors: directories of artifacts that may hold some of the files already.

    Raises:
        ArtifactError: a file is not what it should be, or `out` holds another such version.
    """
    by_folder: dict[str, list[Item]] = {}
    for item in items:
        by_folder.setdefault(item.folder, []).append(item)
    routing = by_folder.pop("", [])
    files = _files_of([out, *donors])
    for folder, of_version in by_folder.items():
        if _is_present(out / folder, of_version):
            report(f"{folder} is there already")
            continue
        _fetch_version(of_version, stage / folder, fetch, files, where)
        _publish(stage / folder, out / folder)
        report(f"{folder}: {sum(item.size_bytes for item in of_version)} bytes")
    for item in routing:
        _install_routing(item, out, stage, fetch, report)


def _fetch_version(
    items: Sequence[Item], directory: Path, fetch: Fetch, files: dict[str, Path], where: str
) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    # the manifest says which other files there may be
    for item in sorted(items, key=lambda item: (item.file != MANIFEST, item.file)):
        path = directory / item.file
        if not path.exists() and not _take(files.get(item.sha256), item, path):
            fetch(item, path)
        if item.file == MANIFEST:
            check_version(directory, items, where)
    for path in directory.iterdir():
        if path.name not in {item.file for item in items}:
            path.unlink()


def _take(source: Path | None, item: Item, path: Path) -> bool:
    """Link to a file that another version has, or copy it; return whether it is what it was."""
    if source is None or sha256_of(source) != item.sha256:
        return False
    try:
        os.link(source, path)
    except OSError:
        with suppress(OSError):
            temporary = path.with_name(f"{path.name}.copy")
            shutil.copyfile(source, temporary)
            temporary.rename(path)
    return path.exists()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file; "" if it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


def _files_of(directories: Iterable[Path]) -> dict[str, Path]:
    """Return the files of all complete versions by their SHA-256, as their manifests have it."""
    files: dict[str, Path] = {}
    for directory in directories:
        for path in directory.glob(f"*/*/{MANIFEST}"):
            with suppress(SlipwayError):
                for file in read_manifest(path.parent).files:
                    files.setdefault(file.sha256, path.parent / file.name)
    return files


def _is_present(directory: Path, items: Sequence[Item]) -> bool:
    """Return whether a version is in place.

    Raises:
        ArtifactError: another version has its name, or it is damaged.
    """
    if not (directory / MANIFEST).exists():
        return False
    arriving = next(item for item in items if item.file == MANIFEST)
    if sha256_of(directory / MANIFEST) != arriving.sha256:
        raise ArtifactError(
            f"{directory} is another version than the one that arrives, and a published version "
            "never changes; pull into another directory"
        )
    try:
        for file in read_manifest(directory).files:
            verify_file(directory, file)
    except ArtifactError as error:
        raise ArtifactError(f"{error}; remove {directory} and pull again") from error
    return True


def _publish(stage: Path, target: Path) -> None:
    """Check every file of a version once more, flush them to disk, and rename the directory."""
    for file in read_manifest(stage).files:
        verify_file(stage, file)
    for path in stage.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    stage.chmod(0o755)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        shutil.rmtree(target)  # half written: it has no manifest
    stage.rename(target)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _install_routing(item: Item, out: Path, stage: Path, fetch: Fetch, report: Report) -> None:
    """Take routing.json where there is none: the routes of this place are its own."""
    target = out / ROUTING
    if target.exists():
        if sha256_of(target) != item.sha256:
            report(f"{target} stays as it is; that of the artifact differs")
        return
    fetch(item, stage / ROUTING)
    (stage / ROUTING).rename(target)
