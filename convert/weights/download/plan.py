"""Which files a source is, each with its address and what is known of it."""

import importlib.util
import json
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from convert.errors import SourceError
from convert.sources import AnySource, Expected, HubSource, Source
from convert.weights.download.http import Network

HUB = "https://huggingface.co"
ANSWER_LIMIT_BYTES = 8 << 20
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Record:
    """What the first download brought. Whatever comes later must be the same."""

    address: str
    revision: str | None = None  # commit of the repository
    files: Mapping[str, Expected] = field(default_factory=dict)  # sha256 and size of each


@dataclass(frozen=True, slots=True)
class Item:
    """One file to fetch."""

    name: str  # below the source's directory
    address: str
    expected: Expected


@dataclass(frozen=True, slots=True)
class Plan:
    """All files of a source, at one revision."""

    revision: str | None
    items: tuple[Item, ...]


def plan(source: AnySource, record: Record | None, network: Network, hub: str = HUB) -> Plan:
    """What is to be fetched; asks the hub where nothing is recorded.

    Raises:
        SourceError: the hub was not reached, or has no such repository, revision or file.
    """
    recorded = record.files if record else {}
    if isinstance(source, Source):
        expected = _joined(source.expected, recorded.get(source.name))
        return Plan(None, (Item(source.name, source.address, expected),))
    if record is None or record.revision is None:
        revision, files = _ask(source, network, hub)
    else:
        revision, files = record.revision, dict(recorded)
    base = f"{hub}/{source.repository}/resolve/{revision}"
    items = [
        Item(
            name,
            f"{base}/{urllib.parse.quote(name)}",
            _joined(source.expected.get(name, Expected()), known),
        )
        for name, known in files.items()
    ]
    return Plan(revision, tuple(items))


def installed(source: AnySource) -> Path | None:
    """The folder of an installed Python package that holds the source's files."""
    if isinstance(source, Source) or source.package is None:
        return None
    package, _, folder = source.package.partition("/")
    spec = importlib.util.find_spec(package)  # finds it without running it
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if all((Path(place, folder) / name).is_file() for name in source.files):
            return Path(place, folder)
    return None


def _joined(pinned: Expected, recorded: Expected | None) -> Expected:
    if recorded is None:
        return pinned
    return replace(
        pinned,
        sha256=pinned.sha256 or recorded.sha256,
        size_bytes=recorded.size_bytes if pinned.size_bytes is None else pinned.size_bytes,
    )


def _ask(source: HubSource, network: Network, hub: str) -> tuple[str, dict[str, Expected]]:
    """The commit, and the files that are wanted, each with what the hub says of it."""
    at = f"/revision/{urllib.parse.quote(source.revision, safe='')}" if source.revision else ""
    address = f"{hub}/api/models/{source.repository}{at}?blobs=true"
    answer = _json(network, address)
    try:
        commit = str(answer["sha"])
        there = {str(file["rfilename"]): _known(file) for file in answer["siblings"]}
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(f"{address}: not the answer of a hub: {error!r}") from error
    if not COMMIT.fullmatch(commit):
        raise SourceError(f"{address}: revision {commit!r} is no commit")
    names = [*source.files, *(name for name in source.optional if name in there)]
    if source.one_of:
        names.append(next((name for name in source.one_of if name in there), source.one_of[0]))
    missing = [name for name in names if name not in there]
    if missing:
        found = ", ".join(sorted(there)[:12])
        raise SourceError(f"{source.address}: no {', '.join(missing)}; it has {found}")
    return commit, {name: there[name] for name in names}


def _known(file: Mapping[str, Any]) -> Expected:
    large = file.get("lfs") or {}  # files of git proper have a hash of git's own only
    size = large.get("size", file.get("size"))
    return Expected(sha256=large.get("sha256"), size_bytes=None if size is None else int(size))


def _json(network: Network, address: str) -> Any:
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
