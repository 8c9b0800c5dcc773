"""The versions of a directory as routing.json pins them."""

from pathlib import Path

from runtime.artifact.manifest import read_manifest, versions
from runtime.artifact.spec import MODEL_ID
from runtime.errors import ArtifactError
from serve.routing.table import Pin


def pin_of(artifacts: Path, model_id: str, version: int) -> Pin:
    """Return the pin of a version.

    Raises:
        ArtifactError: the directory does not hold it complete; the message lists those that are.
    """
    directory = _model_directory(artifacts, model_id)
    numbers = [int(path.name) for path in versions(directory)]
    if version not in numbers:
        names = ", ".join(map(str, numbers)) or "none"
        raise ArtifactError(f"{directory} has no complete version {version}; it has {names}")
    return Pin(version, read_manifest(directory / str(version)).digest)


def newest_pin(artifacts: Path, model_id: str, *, but: int) -> Pin | None:
    """Return the pin of the newest complete version but one; None if there is none."""
    directories = versions(_model_directory(artifacts, model_id))
    paths = [path for path in directories if path.name != str(but)]
    return Pin(int(paths[-1].name), read_manifest(paths[-1]).digest) if paths else None


def _model_directory(artifacts: Path, model_id: str) -> Path:
    if not MODEL_ID.fullmatch(model_id):
        raise ArtifactError(f"{model_id[:80]!r} is no model id; allowed: {MODEL_ID.pattern}")
    return artifacts / model_id
