"""List the files of a source, each with its address, size and hashes as far as they are known."""

import json
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from convert.errors import SourceError
from convert.sources import AnySource, Expected, HubSource, Source
from convert.weights.download.http import Network

HUB = "https://huggingface.co"
ANSWER_LIMIT_BYTES = 8 << 20
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Record:
    """The record of a first download: every later one must bring the same files."""

    address: str
    revision: str | None = None  # commit of the repository
    files: Mapping[str, Expected] = field(default_factory=dict)  # sha256 and size of each


@dataclass(frozen=True, slots=True)
class Item:
    """One file to download."""

    name: str  # path below the source's directory
    address: str
    expected: Expected


@dataclass(frozen=True, slots=True)
class Plan:
    """All files of a source, at one revision."""

    revision: str | None
    items: tuple[Item, ...]


def plan(source: AnySource, record: Record | None, network: Network, hub: str = HUB) -> Plan:
    """List the files to download; ask the hub if no earlier download is recorded.

    Raises:
        SourceError: the hub was not reached, or has no such repository, revision or file.
    """
    recorded = record.files if record else {}
    if isinstance(source, Source):
        expected = _merge(source.expected, recorded.get(source.name))
        return Plan(None, (Item(source.name, source.address, expected),))
    if record is None or record.revision is None:
        revision, files = _query_hub(source, network, hub)
    else:
        revision, files = record.revision, dict(recorded)
    base = f"{hub}/{source.repository}/resolve/{revision}"
    items = [
        Item(
            name,
            f"{base}/{urllib.parse.quote(name)}",
            _merge(source.expected.get(name, Expected()), published),
        )
        for name, published in files.items()
    ]
    return Plan(revision, tuple(items))


def _merge(pinned: Expected, recorded: Expected | None) -> Expected:
    """Add the recorded hash and size to those that the recipe pins."""
    if recorded is None:
        return pinned
    return replace(
        pinned,
        sha256=pinned.sha256 or recorded.sha256,
        size_bytes=recorded.size_bytes if pinned.size_bytes is None else pinned.size_bytes,
    )


def _query_hub(source: HubSource, network: Network, hub: str) -> tuple[str, dict[str, Expected]]:
    """Return the commit, and the requested files with the sizes and hashes that the hub states.

    Raises:
        SourceError: the hub was not reached, answers nonsense, or has no such file.
    """
    at = f"/revision/{urllib.parse.quote(source.revision, safe='')}" if source.revision else ""
    address = f"{hub}/api/models/{source.repository}{at}?blobs=true"
    answer = _get_json(network, address)
    try:
        commit = str(answer["sha"])
        published = {str(file["rfilename"]): _expected(file) for file in answer["siblings"]}
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(f"{address}: not the answer of a hub: {error!r}") from error
    if not COMMIT.fullmatch(commit):
        raise SourceError(f"{address}: revision {commit!r} is no commit")
    names = [*source.files, *(name for name in source.optional if name in published)]
    if source.one_of:
        names.append(next((name for name in source.one_of if name in published), source.one_of[0]))
    missing = [name for name in names if name not in published]
    if missing:
        present = ", ".join(sorted(published)[:12])
        raise SourceError(f"{source.address}: no {', '.join(missing)}; it has {present}")
    return commit, {name: published[name] for name in names}


def _expected(file: Mapping[str, Any]) -> Expected:
    large = file.get("lfs") or {}  # a file outside LFS has only a git hash, not a SHA-256
    size = large.get("size", file.get("size"))
    return Expected(sha256=large.get("sha256"), size_bytes=None if size is None else int(size))


def _get_json(network: Network, address: str) -> Any:
    content = bytearray()
    with network.get(address) as response:
        for block in network.blocks(response, ANSWER_LIMIT_BYTES, address):
            content += block
            if len(content) > ANSWER_LIMIT_BYTES:
                raise SourceError(f"{address}: more than {ANSWER_LIMIT_BYTES} bytes of answer")
    try:
        return json.loads(content)
    except ValueError as error:
        raise SourceError(f"{address}: not JSON ({error})") from error
