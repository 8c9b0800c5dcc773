"""The artifact on disk: written to a scratch directory under a lock, renamed when complete.

Format: artifacts/README.md.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx

from convert import files
from runtime.artifact import schema
from runtime.artifact.manifest import (
    CONDITIONS,
    MANIFEST,
    VERSION,
    VOCABULARY,
    File,
    Manifest,
    Spec,
    read_manifest,
    verify_file,
    versions,
)
from runtime.errors import ArtifactError

ASSETS = {VOCABULARY: "vocab.txt", CONDITIONS: "conditions.npz"}  # file name by role


@contextmanager
def scratch_directory(out: Path, model_id: str) -> Iterator[Path]:
    """Lock a model and yield a scratch directory for its next version, until the context ends.

    A second conversion of the same model waits. Directories that killed conversions of it left
    behind are deleted.

    Args:
        out: directory of all artifacts; the scratch directory is on the same file system.
        model_id: of the model.
    """
    hidden = out / ".work"
    with files.locked(hidden / f"{model_id}.lock"):
        # ids hold no dot, so the pattern never matches the directory of another model
        for stale in hidden.glob(f"{model_id}.scratch-*"):
            shutil.rmtree(stale)
        scratch = Path(tempfile.mkdtemp(prefix=f"{model_id}.scratch-", dir=hidden))
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def write_variant(source: Path, target: Path, spec: Spec) -> None:
    """Copy an ONNX file, with the spec inside it (metadata_props["spec"]).

    All other metadata is dropped: exporters write source paths there.
    """
    model = onnx.load(source)
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = "spec", json.dumps(schema.to_json(spec), sort_keys=True)
    model.producer_name, model.producer_version = "slipway", ""
    target.write_bytes(model.SerializeToString(deterministic=True))


def write_assets(directory: Path, assets: Mapping[str, bytes]) -> dict[str, File]:
    """Write the further files that the runtime needs, such as a vocabulary.

    Args:
        directory: of the version.
        assets: content by role; the roles are those of ASSETS.

    Returns:
        The files by role, for the manifest.
    """
    entries = {}
    for role, content in assets.items():
        path = directory / ASSETS[role]
        path.write_bytes(content)
        entries[role] = file_entry(path)
    return entries


def file_entry(path: Path) -> File:
    """Return the name, hash and size of a file, for the manifest."""
    content = path.read_bytes()
    return File(path.name, hashlib.sha256(content).hexdigest(), len(content))


def json_digest(parts: Mapping[str, Any]) -> str:
    """Return the SHA-256 of canonical JSON: sorted keys, no spaces."""
    text = json.dumps(schema.to_json(parts), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def find_existing(out: Path, model_id: str, digest: str) -> Manifest | None:
    """Return the newest complete version if it has this digest and its files are intact.

    Older versions do not count: servers use the newest, so a return to earlier weights is a new
    version too.
    """
    directories = versions(out / model_id)
    if not directories:
        return None
    try:
        manifest = read_manifest(directories[-1])
        for file in manifest.files:
            verify_file(directories[-1], file)
    except ArtifactError:
        return None  # damaged, or of another schema: it keeps its number
    return manifest if manifest.digest == digest else None


def same_layout(one: Manifest, other: Manifest) -> bool:
    """Return whether the variants of two versions consist of files of the same names.

    Of equal digests, the version with other files has the weights elsewhere: it gives the same
    answers with more or less memory.
    """
    names = [[[file.name for file in v.files] for v in m.variants] for m in (one, other)]
    return names[0] == names[1]


def next_version(out: Path, model_id: str) -> int:
    """Return the number after the highest in use; incomplete versions count too."""
    directory = out / model_id
    names = [path.name for path in directory.iterdir()] if directory.is_dir() else []
    return max((int(name) for name in names if VERSION.fullmatch(name)), default=0) + 1


def publish(scratch: Path, out: Path, manifest: Manifest) -> Path:
    """Write the manifest, flush all files to disk, and rename the directory into place.

    Args:
        scratch: holds the files of the version; files that the manifest does not list are deleted.
        out: directory of all artifacts.
        manifest: of the version.

    Returns:
        The directory of the version.

    Raises:
        ArtifactError: the runtime would not read the manifest.
        OSError: the disk is full or the directory not writable; nothing appears under `out`.
    """
    text = json.dumps(schema.to_json(manifest), indent=1, sort_keys=False)
    (scratch / MANIFEST).write_text(text + "\n", encoding="utf-8")
    read_manifest(scratch)  # refuses what a server would refuse
    listed = {MANIFEST, *(file.name for file in manifest.files)}
    for path in scratch.iterdir():
        if path.name not in listed:
            path.unlink()
            continue
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    _fsync_directory(scratch)
    target = out / manifest.id / str(manifest.version)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch.chmod(0o755)  # mkdtemp's 0700 would lock out the server's user
    scratch.rename(target)
    _fsync_directory(target.parent)
    return target


def _fsync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
