"""A version, or all of a directory, as one tar: equal contents make equal bytes."""

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from runtime.errors import ArtifactError
from runtime.transport.contents import Item, check_items, check_name, check_size, list_contents
from runtime.transport.limits import CHUNK_BYTES, MOST_FILES, Limits
from runtime.transport.stage import Report, install, staging

BLOCK = tarfile.BLOCKSIZE
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)


def pack(source: Path, target: Path, limits: Limits) -> list[Item]:
    """Write a tar of the versions below a path, whole or not at all.

    Manifests come first in their version; all times, owners and rights are the same always.

    Returns:
        The files in the tar.

    Raises:
        ArtifactError: there is no version, a file is not as its manifest says, or the tar cannot
            be written.
    """
    contents = list_contents(source)
    check_items(list(contents), str(source), limits.size_bytes)
    temporary = target.with_name(f"{target.name}.part")
    try:
        with temporary.open("wb") as stream:
            for item, path in contents.items():
                _write(stream, item, path, limits)
            stream.write(bytes(2 * BLOCK))
            stream.flush()
            os.fsync(stream.fileno())
        temporary.rename(target)
    except OSError as error:
        raise ArtifactError(f"{temporary} cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return list(contents)


def _write(stream: BinaryIO, item: Item, path: Path, limits: Limits) -> None:
    info = tarfile.TarInfo(item.name)
    info.size, info.mode = item.size_bytes, 0o644
    try:
        stream.write(info.tobuf(tarfile.USTAR_FORMAT))
    except ValueError as error:
        raise ArtifactError(f"{path} does not fit into a tar: {error}") from error
    rest = item.size_bytes
    with path.open("rb") as file:
        while rest:
            limits.check()
            data = file.read(min(CHUNK_BYTES, rest))
            if not data:
                raise ArtifactError(f"{path} was cut while it was read")
            stream.write(data)
            rest -= len(data)
    stream.write(bytes(-item.size_bytes % BLOCK))


def unpack(source: Path, out: Path, limits: Limits, report: Report) -> None:
    """Put the versions of a tar into a directory of artifacts; every file is checked.

    Links, devices, folders, other names and extended headers are refused, and so is a file that is
    longer than the tar says.

    Raises:
        ArtifactError: the tar is refused, or a version differs from the one in place.
    """
    try:
        with source.open("rb") as stream:
            members = list(_members(stream, source, limits))
            items, places = [item for item, _ in members], dict(members)
            check_items(items, str(source), limits.size_bytes)
            key = hashlib.sha256("".join(item.sha256 for item in items).encode()).hexdigest()
            with staging(out, key[:32], limits) as stage:
                install(
                    items,
                    out,
                    stage,
                    lambda item, path: _extract(stream, places[item], item, path, limits),
                    where=str(source),
                    report=report,
                )
    except OSError as error:
        raise ArtifactError(f"{source} cannot be read: {error.strerror}") from error


def _members(stream: BinaryIO, source: Path, limits: Limits) -> Iterator[tuple[Item, int]]:
    """Yield each file with the place of its first byte; write none."""
    end = stream.seek(0, io.SEEK_END)
    place = stream.seek(0)
    for _ in range(MOST_FILES + 1):
        header = stream.read(BLOCK)
        if header == bytes(BLOCK):
            return
        info = _header_of(header, source)
        place += BLOCK
        if place + info.size > end:
            raise ArtifactError(f"{source} is cut within {info.name}")
        yield Item(info.name, _sha256_at(stream, info.size, limits), info.size), place
        place = stream.seek(place + info.size + -info.size % BLOCK)
    raise ArtifactError(f"{source} holds more than {MOST_FILES} files; allowed: {MOST_FILES}")


def _header_of(header: bytes, source: Path) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
    except (tarfile.HeaderError, ValueError) as error:
        raise ArtifactError(f"{source} is no tar, or is cut: {error}") from error
    if info.type not in _FILES:
        raise ArtifactError(
            f"{source} holds {info.name[:300]!r} of the type {info.type!r}; allowed: plain files "
            "in the format ustar"
        )
    check_name(info.name, str(source))
    check_size(info.name, info.size, str(source))
    return info


def _sha256_at(stream: BinaryIO, size_bytes: int, limits: Limits) -> str:
    digest = hashlib.sha256()
    for data in _pieces(stream, size_bytes, limits):
        digest.update(data)
    return digest.hexdigest()


def _pieces(stream: BinaryIO, size_bytes: int, limits: Limits) -> Iterator[bytes]:
    while size_bytes > 0:
        limits.check()
        data = stream.read(min(CHUNK_BYTES, size_bytes))
        if not data:
            raise ArtifactError("the tar was cut while it was read")
        yield data
        size_bytes -= len(data)


def _extract(stream: BinaryIO, place: int, item: Item, path: Path, limits: Limits) -> None:
    temporary = path.with_name(f"{path.name}.part")
    stream.seek(place)
    with temporary.open("wb") as target:
        for data in _pieces(stream, item.size_bytes, limits):
            target.write(data)
    temporary.rename(path)
