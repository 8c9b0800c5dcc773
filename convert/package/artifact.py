"""The artifact on disk: written beside under a lock, renamed when complete.

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
def locked(out: Path, model_id: str) -> Iterator[Path]:
    """A scratch directory beside the artifacts, alone with this model until the context ends.

    A second conversion of the same model waits. What a killed one left behind is removed here.
    """
    hidden = out / ".work"
    with files.locked(hidden / f"{model_id}.lock"):
        # no id holds a dot: another model's directory never looks like one of this model's
        for stale in hidden.glob(f"{model_id}.scratch-*"):
            shutil.rmtree(stale)
        scratch = Path(tempfile.mkdtemp(prefix=f"{model_id}.scratch-", dir=hidden))
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def write_variant(source: Path, target: Path, spec: Spec) -> None:
    """Copy an ONNX file with the spec inside it (metadata_props["spec"])."""
    model = onnx.load(source)
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = "spec", json.dumps(schema.to_json(spec), sort_keys=True)
    model.producer_name, model.producer_version = "slipway", ""
    target.write_bytes(model.SerializeToString(deterministic=True))


def write_assets(directory: Path, assets: Mapping[str, bytes]) -> dict[str, File]:
    """Write what the runtime needs beside the graph.

    Args:
        directory: of the version.
        assets: content by role, of ASSETS.
    """
    entries = {}
    for role, content in assets.items():
        path = directory / ASSETS[role]
        path.write_bytes(content)
        entries[role] = describe(path)
    return entries


def describe(path: Path) -> File:
    """Name, hash and size of a file, for the manifest."""
    content = path.read_bytes()
    return File(path.name, hashlib.sha256(content).hexdigest(), len(content))


def digest(parts: Mapping[str, Any]) -> str:
    """Identity of a conversion: sha256 of canonical JSON."""
    text = json.dumps(schema.to_json(parts), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def existing(out: Path, model_id: str, wanted: str) -> Manifest | None:
    """The newest complete version, if it has this digest and its files are intact.

    An older one would not do: servers take the newest, so going back to earlier weights is a new
    version too.
    """
    found = versions(out / model_id)
    if not found:
        return None
    try:
        manifest = read_manifest(found[-1])
        for file in manifest.files:
            verify_file(found[-1], file)
    except ArtifactError:
        return None  # damaged, or of another schema: it keeps its number
    return manifest if manifest.digest == wanted else None


def next_version(out: Path, model_id: str) -> int:
    """One more than the highest number in use, complete or not."""
    directory = out / model_id
    taken = (
        [int(p.name) for p in directory.iterdir() if VERSION.fullmatch(p.name)]
        if directory.is_dir()
        else []
    )
    return max(taken, default=0) + 1


def publish(scratch: Path, out: Path, manifest: Manifest) -> Path:
    """Write the manifest last, flush everything, and rename the directory into place.

    Raises:
        OSError: the disk is full or the directory not writable; nothing appears under `out`.
    """
    text = json.dumps(schema.to_json(manifest), indent=1, sort_keys=False)
    (scratch / MANIFEST).write_text(text + "\n", encoding="utf-8")
    read_manifest(scratch)  # what we write, the runtime reads
    wanted = {MANIFEST, *(file.name for file in manifest.files)}
    for path in scratch.iterdir():
        if path.name not in wanted:
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
