"""The artifacts of a directory, or those of a registry and what the cache has of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime.artifact.manifest import Manifest, read_manifest, verify_file, versions
from runtime.errors import ArtifactError, SlipwayError
from runtime.transport.limits import Limits
from runtime.transport.reference import Reference
from runtime.transport.transfer import resolve
from serve.repository.pulled import cache_of, registry_of
from serve.settings import Settings, SettingsError, from_environment
from serve.settings.kinds import ARTIFACTS

_ASK_S = 20.0  # for the registry: the bundle is written without it


def named_content(text: str, environ: Mapping[str, str], *, verify: bool) -> dict[str, Any]:
    """Return what is known of the artifacts that a text names.

    Args:
        text: a directory, or oci://...
        environ: settings of the cache and of the registry.
        verify: whether to compute the hashes of all files; else only their sizes are compared.
    """
    try:
        artifacts = ARTIFACTS.read("SLIPWAY_ARTIFACTS", text)
    except SettingsError as error:
        return {"problem": str(error)}
    if isinstance(artifacts, Path):
        return artifacts_content(artifacts, verify=verify)
    try:
        settings = from_environment(environ)
    except SettingsError:
        settings = Settings()  # which are wrong is in settings.json
    return {
        "reference": str(artifacts),
        "registry": _registry_content(artifacts, settings),
        **_cache_content(artifacts, settings, verify=verify),
    }


def _registry_content(reference: Reference, settings: Settings) -> dict[str, Any]:
    """Return what the registry has now: one attempt, within some seconds."""
    limits = Limits(seconds=_ASK_S, idle_s=_ASK_S / 2, pauses_s=())
    try:
        digest, items = resolve(registry_of(reference, settings, limits))
    except SlipwayError as error:
        return {"problem": str(error)}
    folders = sorted({item.folder for item in items} - {""})
    size_bytes = sum(item.size_bytes for item in items)
    return {"digest": digest, "versions": folders, "size_bytes": size_bytes}


def _cache_content(reference: Reference, settings: Settings, *, verify: bool) -> dict[str, Any]:
    """Return what a start without the registry would serve."""
    snapshot = cache_of(settings).find(reference)
    if snapshot is None:
        return {"cache": {"problem": f"{settings.pull_cache} does not hold it"}}
    try:
        content = artifacts_content(snapshot.directory, verify=verify)
        return {"cache": {"digest": snapshot.digest, **content}}
    finally:
        snapshot.release()


def artifacts_content(artifacts: Path, *, verify: bool) -> dict[str, Any]:
    """Return what each version of each model says of itself.

    Args:
        artifacts: directory of the models.
        verify: whether to compute the hashes of all files; else only their sizes are compared.
    """
    if not artifacts.is_dir():
        return {"directory": str(artifacts), "problem": "it is no directory"}
    models = sorted(path for path in artifacts.iterdir() if versions(path))
    return {
        "directory": str(artifacts),
        "models": {
            path.name: {one.name: _version_content(one, verify) for one in versions(path)}
            for path in models
        },
    }


def _version_content(directory: Path, verify: bool) -> dict[str, Any]:
    try:
        manifest = read_manifest(directory)
    except ArtifactError as error:
        return {"problem": str(error)}
    return {
        "digest": manifest.digest,
        "weights": manifest.weights.origin,
        "variants": [variant.name for variant in manifest.variants],
        "onnxruntime_minimum": manifest.onnxruntime_minimum,
        "files": {file.name: [file.size_bytes, file.sha256] for file in manifest.files},
        "problems": _problems(manifest, directory, verify),
    }


def _problems(manifest: Manifest, directory: Path, verify: bool) -> list[str]:
    problems = []
    for file in manifest.files:
        path = directory / file.name
        try:
            if verify:
                verify_file(directory, file)
            elif path.stat().st_size != file.size_bytes:
                problems.append(f"{path} has {path.stat().st_size} bytes, not {file.size_bytes}")
        except (ArtifactError, OSError) as error:
            problems.append(str(error))
    return problems
