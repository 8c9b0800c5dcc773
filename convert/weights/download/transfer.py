"""One file, brought whole: what has come stays, and the next attempt goes on where it ended."""

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
ATTEMPTS = 3  # of a connection that breaks off after it brought something
Progress = Callable[[int, int | None], None]  # bytes there, bytes in all; None: unknown


def transfer(
    network: Network, address: str, path: Path, expected: Expected, progress: Progress
) -> None:
    """Bring a file to `path`, whole and as expected.

    Args:
        network: how hosts are reached.
        address: where it is published.
        path: of the file; may hold its beginning already, with a note of its version beside.
        expected: what is known of it.
        progress: told what is there, after each block.

    Raises:
        SourceError: not reached or broken off; what came stays at `path` for the next attempt.
        CheckpointError: other content than expected; nothing is left at `path`.
        OSError: disk full or not writable.
    """
    resumed = _kept(path, expected)
    _bring(network, address, path, expected, progress)
    refusal = expected.refusal(path)
    if refusal and resumed:  # a beginning that this file does not continue
        _discard(path)
        _bring(network, address, path, expected, progress)
        refusal = expected.refusal(path)
    if refusal:
        _discard(path)
        raise CheckpointError(f"{address}: {refusal}; the file was discarded")
    _note(path).unlink(missing_ok=True)


def _bring(
    network: Network, address: str, path: Path, expected: Expected, progress: Progress
) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        before = _size(path)
        try:
            _attempt(network, address, path, expected, progress)
        except BrokenOffError as error:
            if attempt < ATTEMPTS and _size(path) > before:
                continue
            there = _kept(path, expected)
            kept = f"; the first {there} bytes are kept: run again to go on" if there else ""
            raise SourceError(f"{error}{kept}") from error
        else:
            return


def _attempt(
    network: Network, address: str, path: Path, expected: Expected, progress: Progress
) -> None:
    start = _kept(path, expected)
    if start == expected.size_bytes:
        return
    with network.get(address, _range(path, start)) as response:
        if response.status == 416:  # the file is not longer than what is here
            response.close()
            if _whole(response, start):
                return
            _discard(path)
            raise SourceError(f"{address}: it ends before what was kept of it; run again")
        begin, size = _joint(response, path, start, expected, address)
        _check_size(size, expected, address)
        if size is None and not (expected.pinned or response.chunked):
            raise SourceError(f"{address}: no length and no hash tell when the file is whole")
        _check_space(path, (size or 0) - begin)
        if begin == 0:
            _write_note(path, response)
        _receive(network, response, path, begin, size, address, progress)


def _receive(
    network: Network,
    response: HTTPResponse,
    path: Path,
    begin: int,
    size: int | None,
    address: str,
    progress: Progress,
) -> None:
    limit = LIMIT_BYTES if size is None else size
    with path.open("r+b" if begin else "wb") as file:
        there = file.seek(begin)
        file.truncate()
        for block in network.blocks(response, limit - begin, address):
            there += len(block)
            if there > limit:
                _discard(path)
                raise CheckpointError(f"{address}: more than {limit} bytes came")
            file.write(block)
            progress(there, size)
    if size is not None and there < size:
        raise BrokenOffError(f"{address}: ended after {there} of {size} bytes")


def _kept(path: Path, expected: Expected) -> int:
    """Bytes that a new attempt may go on from: only where a wrong joint would be noticed."""
    return _size(path) if expected.pinned or _version(path) else 0


def _range(path: Path, start: int) -> dict[str, str]:
    if not start:
        return {}
    version = _version(path)
    # If-Range: a file that has changed comes whole, with status 200
    return {"Range": f"bytes={start}-"} | ({"If-Range": version} if version else {})


def _joint(
    response: HTTPResponse, path: Path, start: int, expected: Expected, address: str
) -> tuple[int, int | None]:
    """Where in the file the body begins, and the size of the whole file; None: not told."""
    if response.status == 200:  # the server knows no ranges, or the file has changed
        return 0, expected.size_bytes if response.length is None else response.length
    given = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", given)
    if not start or match is None or int(match[1]) != start:
        raise SourceError(f"{address}: asked from byte {start}, Content-Range is {given!r}")
    if _version(path) and _version_of(response) not in ("", _version(path)):
        _discard(path)
        raise SourceError(f"{address}: has changed since its first {start} bytes came; run again")
    return start, int(match[2])


def _check_size(size: int | None, expected: Expected, address: str) -> None:
    if size is None:
        return
    if expected.size_bytes not in (None, size):
        raise CheckpointError(f"{address}: {size} bytes announced; {expected.size_bytes} expected")
    if size > LIMIT_BYTES:
        raise CheckpointError(f"{address}: {size} bytes announced; at most {LIMIT_BYTES} allowed")


def _whole(response: HTTPResponse, start: int) -> bool:
    return response.headers.get("Content-Range") == f"bytes */{start}"


def _check_space(path: Path, needed: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise SourceError(f"{path.parent}: {needed} bytes to come, {free} free")


def _write_note(path: Path, response: HTTPResponse) -> None:
    write_json_atomic(_note(path), {"version": _version_of(response)})


def _version_of(response: HTTPResponse) -> str:
    """Which version of the file this is, as the server names it; "": it does not."""
    etag = response.headers.get("ETag", "")
    # a weak tag promises the same meaning, not the same bytes
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _version(path: Path) -> str:
    try:
        return str(json.loads(_note(path).read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _note(path: Path) -> Path:
    return path.with_name(path.name + ".version")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _discard(path: Path) -> None:
    path.unlink(missing_ok=True)
    _note(path).unlink(missing_ok=True)
