"""The content of an artifact on the move: which files of which versions, by name, hash and size."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.artifact.manifest import MANIFEST, MODEL_ID, VERSION, File, read_manifest, verify_file
from runtime.artifact.manifest import versions as versions_of
from runtime.artifact.signature import MOST_BYTES as SIGNATURE_BYTES
from runtime.artifact.signature import SIGNATURE
from runtime.errors import ArtifactError
from runtime.transport.limits import MANIFEST_BYTES, MOST_FILES

ROUTING = "routing.json"
ROUTING_BYTES = 1 << 20  # that a server reads
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Item:
    """A file of an artifact."""

    name: str  # <model>/<version>/<file>, or routing.json
    sha256: str
    size_bytes: int

    @property
    def folder(self) -> str:
        """Return <model>/<version>; "" for routing.json."""
        return self.name.rpartition("/")[0]

    @property
    def file(self) -> str:
        """Return the name of the file alone."""
        return self.name.rpartition("/")[2]


def check_name(name: str, where: str) -> None:
    """Check that a name is that of a file of a version: no path leaves the directory.

    Raises:
        ArtifactError: it is another one.
    """
    parts = name.split("/")
    is_file = (
        len(name) <= 255
        and len(parts) == 3
        and MODEL_ID.fullmatch(parts[0])
        and VERSION.fullmatch(parts[1])
        and _FILE.fullmatch(parts[2])
    )
    if not is_file and name != ROUTING:
        raise ArtifactError(
            f"{where} holds {name[:300]!r}; allowed: <model>/<version>/<file> and {ROUTING}"
        )


def check_items(items: Sequence[Item], where: str, most_bytes: int) -> None:
    """Check names, number and sizes of the files, before one is read.

    Raises:
        ArtifactError: a name is wrong or twice, a version lacks its manifest, or they are too many.
    """
    if len(items) > MOST_FILES:
        raise ArtifactError(f"{where} holds {len(items)} files; allowed: {MOST_FILES}")
    names: set[str] = set()
    for item in items:
        check_name(item.name, where)
        if item.name in names:
            raise ArtifactError(f"{where} holds {item.name} twice")
        names.add(item.name)
        check_size(item.name, item.size_bytes, where)
    total = sum(item.size_bytes for item in items)
    if total > most_bytes:
        raise ArtifactError(f"{where} holds {total} bytes; allowed: {most_bytes}")
    for folder in sorted({item.folder for item in items} - {""}):
        if f"{folder}/{MANIFEST}" not in names:
            raise ArtifactError(f"{where}: {folder} lacks {MANIFEST}")
    if not names - {ROUTING}:
        raise ArtifactError(f"{where} holds no version of a model")


def check_size(name: str, size_bytes: int, where: str) -> None:
    """Check the size of a file that is read into memory.

    Raises:
        ArtifactError: it is larger than readers allow.
    """
    limits = {MANIFEST: MANIFEST_BYTES, SIGNATURE: SIGNATURE_BYTES, ROUTING: ROUTING_BYTES}
    allowed = limits.get(name.rpartition("/")[2])
    if size_bytes < 0 or (allowed is not None and size_bytes > allowed):
        raise ArtifactError(f"{where}: {name} has {size_bytes} bytes; allowed: {allowed}")


def check_version(directory: Path, items: Iterable[Item], where: str) -> None:
    """Check that the files of a version are those of its manifest.json, which has arrived.

    Args:
        directory: that holds manifest.json.
        items: of the version.
        where: for messages.

    Raises:
        ArtifactError: the manifest is wrong or of another version, or lists other files.
    """
    for_version = list(items)
    folder = for_version[0].folder
    manifest = read_manifest(directory)
    if f"{manifest.id}/{manifest.version}" != folder:
        raise ArtifactError(
            f"{where}: {folder}/{MANIFEST} is that of {manifest.id}/{manifest.version}"
        )
    listed = {(file.name, file.sha256, file.size_bytes) for file in manifest.files}
    # a signature is of the manifest, and may be there or not
    unlisted = (MANIFEST, SIGNATURE)
    present = {(i.file, i.sha256, i.size_bytes) for i in for_version if i.file not in unlisted}
    for name, sha256, size_bytes in sorted(listed ^ present):
        raise ArtifactError(
            f"{where}: {folder}/{name} with sha256 {sha256} and {size_bytes} bytes is "
            + ("missing" if (name, sha256, size_bytes) in listed else f"not in {MANIFEST}")
        )


def find_versions(source: Path) -> list[Path]:
    """Return the directories of the versions below a path, by model and number.

    Args:
        source: a directory of artifacts, of one model, or of one version.

    Raises:
        ArtifactError: there is none.
    """
    if (source / MANIFEST).is_file():
        return [source]
    found_here = versions_of(source)
    if found_here:
        return found_here
    models = sorted(source.iterdir()) if source.is_dir() else []
    directories = [
        directory for model in models if model.name[0] != "." for directory in versions_of(model)
    ]
    if not directories:
        raise ArtifactError(
            f"{source} holds no version of a model; allowed: artifacts, artifacts/<model> or "
            "artifacts/<model>/<version>"
        )
    return directories


def list_contents(source: Path) -> dict[Item, Path]:
    """Return the files below a path, each checked against its manifest; manifests come first.

    Args:
        source: a directory of artifacts, of one model, or of one version; routing.json goes along
            with a directory of artifacts alone.

    Raises:
        ArtifactError: there is no version, or a file is not as its manifest says.
    """
    contents: dict[Item, Path] = {}
    directories = find_versions(source)
    for directory in directories:
        manifest = read_manifest(directory)
        folder = f"{manifest.id}/{manifest.version}"
        manifest_path = directory / MANIFEST
        contents[_item_of(manifest_path, f"{folder}/{MANIFEST}")] = manifest_path
        files: dict[str, File] = {file.name: file for file in manifest.files}
        signature = [SIGNATURE] if (directory / SIGNATURE).is_file() else []
        for name in sorted([*files, *signature]):
            if name == SIGNATURE:
                path = directory / SIGNATURE
                contents[_item_of(path, f"{folder}/{SIGNATURE}")] = path
                continue
            path = verify_file(directory, files[name])
            item = Item(f"{folder}/{name}", files[name].sha256, files[name].size_bytes)
            contents[item] = path
    routing = source / ROUTING
    if source not in (directories[0], directories[0].parent) and routing.is_file():
        contents[_item_of(routing, ROUTING)] = routing
    return contents


def _item_of(path: Path, name: str) -> Item:
    check_size(name, path.stat().st_size, str(path))
    data = path.read_bytes()
    return Item(name, hashlib.sha256(data).hexdigest(), len(data))
