"""Layers of images: their sizes, and what differs between two."""

import gzip
import hashlib
import json
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of an image in a folder of OCI's layout."""

    digest: str  # of the tar
    unpacked_bytes: int
    packed_bytes: int
    path: Path  # of the tar, compressed by gzip


def read_layers(folder: Path) -> list[Layer]:
    """Return the layers of the one image of a folder."""
    blobs = folder / "blobs/sha256"
    index = json.loads((folder / "index.json").read_text())
    manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_text())
    config = json.loads((blobs / manifest["config"]["digest"][7:]).read_text())
    rows = zip(config["rootfs"]["diff_ids"], manifest["layers"], strict=True)
    return [
        Layer(digest, _unpacked_bytes(path), row["size"], path)
        for digest, row in rows
        for path in (blobs / row["digest"][7:],)
    ]


def _unpacked_bytes(path: Path) -> int:
    command = ["sh", "-c", 'gzip -dc "$0" | wc -c', str(path)]
    return int(subprocess.run(command, check=True, capture_output=True).stdout)


def differences(first: Sequence[Layer], second: Sequence[Layer]) -> list[str]:
    """Return a line for each file of a layer that is not the same in both, with what differs."""
    lines = [] if len(first) == len(second) else [f"{len(first)} and {len(second)} layers"]
    for number, (one, other) in enumerate(zip(first, second, strict=False)):
        if one.digest != other.digest:
            lines += _differences(number, _entries(one.path), _entries(other.path))
    return lines


def _entries(path: Path) -> dict[str, dict[str, object]]:
    """Return the fields of each member of a tar by its name, in their order."""
    entries: dict[str, dict[str, object]] = {}
    with gzip.open(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for place, member in enumerate(archive):
            file = archive.extractfile(member) if member.isfile() else None
            entries[member.name] = {
                "place": place,
                "type": member.type,
                "mode": oct(member.mode),
                "owner": (member.uid, member.gid),
                "mtime": member.mtime,
                "link": member.linkname,
                "headers": member.pax_headers,
                "sha256": hashlib.file_digest(file, "sha256").hexdigest() if file else "",  # type: ignore[arg-type]  # reads into a buffer, as the function asks
            }
    return entries


def _differences(
    number: int, one: dict[str, dict[str, object]], other: dict[str, dict[str, object]]
) -> list[str]:
    lines = [
        f"layer {number}: {name} is in one alone" for name in sorted(one.keys() ^ other.keys())
    ]
    for name in sorted(one.keys() & other.keys()):
        fields = [field for field, value in one[name].items() if other[name][field] != value]
        if fields:
            lines.append(f"layer {number}: {name} differs in {', '.join(fields)}")
    return lines or [f"layer {number}: the bytes of the tar differ, no member does"]
