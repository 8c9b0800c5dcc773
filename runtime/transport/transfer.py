"""Push versions to a registry, and pull them from one."""

import hashlib
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from runtime.artifact.manifest import MANIFEST
from runtime.errors import ArtifactError
from runtime.transport.contents import Item, check_items, check_version, list_contents
from runtime.transport.limits import ALL_MANIFESTS_BYTES, MIB
from runtime.transport.oci_manifest import config_of, manifest_of, parse_manifest
from runtime.transport.reference import DEFAULT_TAG, Reference
from runtime.transport.registry import Registry, bytes_of
from runtime.transport.stage import Report, install, staging


def push(source: Path, registry: Registry, report: Report) -> Reference:
    """Upload the versions below a path; blobs that the repository holds are not sent again.

    The manifest is the last: until then nobody sees any of it.

    Returns:
        The reference by digest.

    Raises:
        ArtifactError: a file is not as its manifest says, or the registry refuses.
        UnavailableError: the registry is not reached, or it takes too long.
    """
    contents = list_contents(source)
    items = list(contents)
    check_items(items, str(source), registry.limits.size_bytes)
    sent = present = 0
    for item, path in {item.sha256: (item, path) for item, path in contents.items()}.values():
        if registry.has_blob(item.sha256):
            present += item.size_bytes
            continue
        registry.push_blob(item.sha256, item.size_bytes, partial(bytes_of, path))
        sent += item.size_bytes
        report(f"sent {item.name}: {item.size_bytes} bytes")
    config = config_of(items)
    config_sha256 = hashlib.sha256(config).hexdigest()
    if not registry.has_blob(config_sha256):
        registry.push_blob(config_sha256, len(config), lambda begin: iter((config[begin:],)))
    manifest = manifest_of(items)
    digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    reference = registry.reference
    registry.put_manifest(reference.tag or DEFAULT_TAG, manifest)
    report(f"{sent} bytes sent, {present} bytes were there")
    return reference.at(digest)


def resolve(registry: Registry) -> tuple[str, list[Item]]:
    """Return digest and files of what a reference names.

    Raises:
        ArtifactError: there is none, or it is refused.
        UnavailableError: the registry is not reached.
    """
    digest, data = registry.manifest(registry.reference.version)
    where = str(registry.reference)
    return digest, parse_manifest(data, where, registry.limits.size_bytes)


def pull_manifests(registry: Registry, out: Path) -> str:
    """Download the manifest.json of each version alone: what the versions say of themselves.

    Args:
        registry: of the reference.
        out: directory that gets `<model>/<version>/manifest.json`.

    Returns:
        The digest of the reference.

    Raises:
        ArtifactError: there is none, a manifest is not what it should be, or all of
            them have more than 64 MiB.
        UnavailableError: the registry is not reached, or it takes too long.
    """
    digest, items = resolve(registry)
    by_folder: dict[str, list[Item]] = {}
    for item in items:
        by_folder.setdefault(item.folder, []).append(item)
    manifests = [item for item in items if item.file == MANIFEST]
    size_bytes = sum(item.size_bytes for item in manifests)
    if size_bytes > ALL_MANIFESTS_BYTES:
        raise ArtifactError(
            f"{registry.reference}: its manifest.json files have {size_bytes / MIB:.0f} MiB; "
            f"allowed: {ALL_MANIFESTS_BYTES // MIB}"
        )
    for item in manifests:
        directory = out / item.folder
        directory.mkdir(parents=True, exist_ok=True)
        registry.fetch_blob(item.sha256, item.size_bytes, directory / MANIFEST)
        check_version(directory, by_folder[item.folder], str(registry.reference))
    return digest


def pull(
    registry: Registry,
    digest: str,
    items: Sequence[Item],
    out: Path,
    report: Report,
    donors: Iterable[Path] = (),
) -> None:
    """Download versions into a directory of artifacts; each appears when it is complete.

    What is there is not downloaded again, and an interrupted download goes on.

    Args:
        registry: of the reference.
        digest: of the manifest, as `resolve` returns it.
        items: of the manifest.
        out: directory of artifacts, made if absent.
        report: takes a line for each version.
        donors: other directories of artifacts that may hold some of the files.

    Raises:
        ArtifactError: a file is not what it should be, or a version differs from the one in place.
        UnavailableError: the registry is not reached, or it takes too long.
    """
    with staging(out, digest.removeprefix("sha256:")[:32], registry.limits) as stage:
        install(
            items,
            out,
            stage,
            lambda item, path: registry.fetch_blob(item.sha256, item.size_bytes, path),
            where=str(registry.reference),
            report=report,
            donors=donors,
        )
