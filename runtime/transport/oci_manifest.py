"""The OCI image manifest of an artifact, with a layer for each file; see artifacts/README.md."""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from runtime.errors import ArtifactError
from runtime.transport.contents import Item, check_items

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT_TYPE = "application/vnd.slipway.artifacts.v1"
CONFIG_TYPE = "application/vnd.slipway.artifacts.config.v1+json"
FILE_TYPE = "application/vnd.slipway.artifacts.file.v1"
TITLE = "org.opencontainers.image.title"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


def to_bytes(content: Any) -> bytes:
    """Return JSON that is the same for equal content."""
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def config_of(items: Sequence[Item]) -> bytes:
    """Return the config: which versions there are, for those who list a registry."""
    folders = sorted({item.folder for item in items} - {""})
    return to_bytes({"schema_version": 1, "versions": folders})


def manifest_of(items: Sequence[Item]) -> bytes:
    """Return the manifest of some files. Equal files have an equal one: it holds no time."""
    config = config_of(items)
    layers = [
        {
            "mediaType": FILE_TYPE,
            "digest": f"sha256:{item.sha256}",
            "size": item.size_bytes,
            "annotations": {TITLE: item.name},
        }
        for item in items
    ]
    return to_bytes(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": ARTIFACT_TYPE,
            "config": {
                "mediaType": CONFIG_TYPE,
                "digest": f"sha256:{hashlib.sha256(config).hexdigest()}",
                "size": len(config),
            },
            "layers": layers,
        }
    )


def parse_manifest(data: bytes, where: str, most_bytes: int) -> list[Item]:
    """Return the files of a manifest, with allowed names and sizes.

    Raises:
        ArtifactError: it is none of ours, or a name, digest or size is wrong.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{where}: the manifest is no JSON: {error}") from error
    config = content.get("config") if isinstance(content, dict) else None
    media_type = config.get("mediaType") if isinstance(config, dict) else None
    if media_type != CONFIG_TYPE:
        raise ArtifactError(f"{where} has a config of {media_type!r:.200}; allowed: {CONFIG_TYPE}")
    layers = content.get("layers")
    if not isinstance(layers, list):
        raise ArtifactError(f"{where}: the manifest has no list of layers")
    items = [_item_of(layer, f"{where}: layer {number}") for number, layer in enumerate(layers)]
    check_items(items, where, most_bytes)
    return items


def _item_of(layer: Any, where: str) -> Item:
    if not isinstance(layer, dict) or layer.get("mediaType") != FILE_TYPE:
        raise ArtifactError(f"{where} is of another type; allowed: {FILE_TYPE}")
    digest, size = layer.get("digest"), layer.get("size")
    match = _DIGEST.fullmatch(digest) if isinstance(digest, str) else None
    annotations = layer.get("annotations")
    name = annotations.get(TITLE) if isinstance(annotations, dict) else None
    if match is None or type(size) is not int or not isinstance(name, str):
        raise ArtifactError(f"{where} lacks its digest (sha256), size or {TITLE}")
    return Item(name, match[1], size)
