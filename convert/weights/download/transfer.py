"""Download one file completely; a later attempt resumes where an earlier one stopped."""

import json
import re
import shutil
from collections.abc import Callable
from http.client import HTTPResponse
from pathlib import Path

from convert.errors import CheckpointError, SourceError
from convert.files import write_json_atomic
from convert.sources import Expected
from convert.weights.download.http import BrokenOffError, Network

LIMIT_BYTES = 4 << 30  # of a file of unknown size
ATTEMPTS = 3  # while each one brings something before it breaks off
Progress = Callable[[int, int | None], None]  # bytes received, size; None: unknown


def transfer(
    network: Network, address: str, path: Path, expected: Expected, progress: Progress
) -> None:
    """Download a file to `path` and verify it.

    Args:
        network: reaches the hosts.
        address: of the file.
        path: target; may hold the beginning of the file, from an earlier attempt.
        expected: size and hashes, as far as they are known.
        progress: called after each block.

    Raises:
        SourceError: not reached or broken off; what came stays at `path` for the next attempt.
        CheckpointError: other content than expected; nothing is left at `path`.
        OSError: disk full or not writable.
    """
    resumes = _resumable_bytes(path, expected) > 0
    _download(network, address, path, expected, progress)
    mismatch = expected.mismatch(path)
    if mismatch and resumes:  # the earlier beginning may be of another file
        _discard(path)
        _download(network, address, path, expected, progress)
        mismatch = expected.mismatch(path)
    if mismatch:
        _discard(path)
        raise CheckpointError(f"{address}: {mismatch}; the file was discarded")
    _version_file(path).unlink(missing_ok=True)


def _download(
    network: Network, address: str, path: Path, expected: Expected, progress: Progress
) -> None:
    """Download the rest of a file; try again while each attempt brings something.

    Raises:
        SourceError: not reached, or broken off for the last time.
        CheckpointError: another size than expected.
    """
    for attempt in range(1, ATTEMPTS + 1):
        before = _size(path)
        try:
            _attempt(network, address, path, expected, progress)
        except BrokenOffError as error:
            if attempt < ATTEMPTS and _size(path) > before:
                continue
            received = _resumable_bytes(path, expected)
            advice = f"; the first {received} bytes are kept: run again to go on"
            raise SourceError(f"{error}{advice if received else ''}") from error
        else:
            return


def _attempt(
    network: Network, address: str, path: Path, expected: Expected, progress: Progress
) -> None:
    start = _resumable_bytes(path, expected)
    if start == expected.size_bytes:
        return
    with network.get(address, _range_headers(path, start)) as response:
        if response.status == 416:  # the file is not longer than what is here
            response.close()
            if _ends_at(response, start):
                return
            _discard(path)
            raise SourceError(f"{address}: shorter than the {start} bytes kept of it; run again")
        begin, size = _position(response, path, start, expected, address)
        _check_size(size, expected, address)
        if size is None and not (expected.pinned or response.chunked):
            raise SourceError(
                f"{address}: neither a length nor a hash says when the file is complete"
            )
        _check_space(path, (size or 0) - begin)
        if begin == 0:
            write_json_atomic(_version_file(path), {"version": _version_of(response)})
        _write_body(network, response, path, begin, size, address, progress)


def _write_body(
    network: Network,
    response: HTTPResponse,
    path: Path,
    begin: int,
    size: int | None,
    address: str,
    progress: Progress,
) -> None:
    """Write the body into a file from byte `begin` on.

    Raises:
        BrokenOffError: fewer than `size` bytes came.
        CheckpointError: more than `size` (or LIMIT_BYTES) came.
    """
    limit = LIMIT_BYTES if size is None else size
    with path.open("r+b" if begin else "wb") as file:
        received = file.seek(begin)
        file.truncate()
        for block in network.blocks(response, limit - begin, address):
            received += len(block)
            if received > limit:
                _discard(path)
                raise CheckpointError(f"{address}: more than {limit} bytes came")
            file.write(block)
            progress(received, size)
    if size is not None and received < size:
        raise BrokenOffError(f"{address}: ended after {received} of {size} bytes")


def _resumable_bytes(path: Path, expected: Expected) -> int:
    """Return the bytes to resume after; 0 if a beginning of another file would go unnoticed."""
    return _size(path) if expected.pinned or _recorded_version(path) else 0


def _range_headers(path: Path, start: int) -> dict[str, str]:
    if not start:
        return {}
    version = _recorded_version(path)
    # If-Range: the server sends a file that has changed from its start, with status 200
    return {"Range": f"bytes={start}-"} | ({"If-Range": version} if version else {})


def _position(
    response: HTTPResponse, path: Path, start: int, expected: Expected, address: str
) -> tuple[int, int | None]:
    """Return the byte of the file at which the body begins, and the file's size if it is known.

    Raises:
        SourceError: another range than the requested one, or the file has changed.
    """
    if response.status == 200:  # the server knows no ranges, or the file has changed
        return 0, expected.size_bytes if response.length is None else response.length
    content_range = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", content_range)
    if not start or match is None or int(match[1]) != start:
        raise SourceError(f"{address}: asked from byte {start}, Content-Range is {content_range!r}")
    version = _recorded_version(path)
    if version and _version_of(response) not in ("", version):
        _discard(path)
        raise SourceError(f"{address}: has changed since its first {start} bytes came; run again")
    return start, int(match[2])


def _check_size(size: int | None, expected: Expected, address: str) -> None:
    """Refuse a file by its announced size.

    Raises:
        CheckpointError: another size than expected, or more than LIMIT_BYTES.
    """
    if size is None:
        return
    if expected.size_bytes not in (None, size):
        raise CheckpointError(f"{address}: {size} bytes announced; {expected.size_bytes} expected")
    if size > LIMIT_BYTES:
        raise CheckpointError(f"{address}: {size} bytes announced; at most {LIMIT_BYTES} allowed")


def _ends_at(response: HTTPResponse, start: int) -> bool:
    """Check whether a 416 response says that the file has `start` bytes."""
    return response.headers.get("Content-Range") == f"bytes */{start}"


def _check_space(path: Path, needed: int) -> None:
    """Refuse a download that does not fit on the disk.

    Raises:
        SourceError: fewer than `needed` bytes are free.
    """
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise SourceError(f"{path.parent}: {needed} bytes to come, {free} free")


def _version_of(response: HTTPResponse) -> str:
    """Return the server's name for this version of the file; "" if it gives none."""
    etag = response.headers.get("ETag", "")
    # a weak tag promises the same meaning, not the same bytes
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _recorded_version(path: Path) -> str:
    """Return the version that the bytes at `path` are of; "" if it is unknown."""
    try:
        return str(json.loads(_version_file(path).read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _version_file(path: Path) -> Path:
    return path.with_name(path.name + ".version")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _discard(path: Path) -> None:
    path.unlink(missing_ok=True)
    _version_file(path).unlink(missing_ok=True)
