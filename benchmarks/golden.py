"""The golden samples of an artifact, as inputs to measure with."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime.artifact.manifest import Manifest, verify_file
from runtime.engine.session import Feeds
from runtime.errors import ArtifactError


@dataclass(frozen=True, slots=True)
class Golden:
    """Inputs of one model: the same samples before and after preprocessing."""

    media: tuple[bytes, ...]  # encoded files, what a client sends
    feeds: tuple[Feeds, ...]  # what the graph takes, each of batch size 1


def read_golden(directory: Path, manifest: Manifest) -> Golden:
    """Read golden.npz of a version directory.

    Raises:
        ArtifactError: it is not the file that the manifest names, or holds no samples.
    """
    path = verify_file(directory, manifest.golden)
    with np.load(path, allow_pickle=False) as arrays:
        numbers = sorted(int(n.removeprefix("media/")) for n in arrays if n.startswith("media/"))
        media = tuple(arrays[f"media/{number}"].tobytes() for number in numbers)
        batches = {tensor.name: arrays[f"input/{tensor.name}"] for tensor in manifest.spec.inputs}
    if not media:
        raise ArtifactError(f"{path} holds no media/0; a benchmark needs the encoded samples")
    count = min(len(batch) for batch in batches.values())
    feeds = tuple({n: batch[i : i + 1] for n, batch in batches.items()} for i in range(count))
    return Golden(media, feeds)
