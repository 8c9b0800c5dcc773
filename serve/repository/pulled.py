"""Pull the artifacts that the settings name, or take them from the cache."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from runtime.errors import UnavailableError
from runtime.transport.credentials import find_credentials
from runtime.transport.limits import MIB, Limits
from runtime.transport.reference import Reference
from runtime.transport.registry import Registry
from runtime.transport.snapshots import Cache, Snapshot
from runtime.transport.transfer import pull_manifests
from serve.settings import Settings


@dataclass(frozen=True, slots=True)
class Pulled:
    """Settings that name a directory, and what keeps others from removing it."""

    settings: Settings
    snapshot: Snapshot | None = None  # None: the directory is the operator's own


def pull_artifacts(
    settings: Settings,
    report: Callable[[str], None],
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Pulled:
    """Return settings whose artifacts are a directory: pulled, if they are in a registry.

    Args:
        settings: of the server.
        report: takes lines of the log.
        is_cancelled: is asked while files arrive.

    Raises:
        ArtifactError: the artifacts are refused, or the cache cannot be written.
        UnavailableError: the registry is not reached, and the cache does not hold them.
        CancelledError: it was cancelled.
    """
    reference = settings.artifacts
    if not isinstance(reference, Reference):
        return Pulled(settings)
    limits = Limits(seconds=settings.pull_timeout_s, is_cancelled=is_cancelled)
    snapshot = cache_of(settings).obtain(registry_of(reference, settings, limits), report)
    return Pulled(replace(settings, artifacts=snapshot.directory), snapshot)


def registry_of(reference: Reference, settings: Settings, limits: Limits) -> Registry:
    """Return the registry of a reference, with the credentials of this process.

    Raises:
        ArtifactError: the credentials cannot be read.
    """
    credentials = find_credentials(reference.registry, os.environ)
    return Registry(reference, limits, credentials, plain_http=settings.plain_http)


def cache_of(settings: Settings) -> Cache:
    """Return the cache of what is pulled."""
    return Cache(settings.pull_cache.absolute(), settings.pull_cache_mib * MIB)


@contextmanager
def open_manifests(artifacts: Path | Reference, settings: Settings) -> Iterator[Path]:
    """Yield a directory with the manifest.json of each version, and perhaps their other files.

    Of a registry the manifests are downloaded alone, unless the cache has the digest; if it is not
    reached, what the cache has of the tag is taken.

    Args:
        artifacts: a directory, or where in a registry they are.
        settings: cache and timeout.

    Raises:
        ArtifactError: the artifacts are refused.
        UnavailableError: the registry is not reached, and the cache does not hold them.
    """
    if isinstance(artifacts, Path):
        yield artifacts
        return
    cache = cache_of(settings)
    snapshot = cache.find(artifacts) if artifacts.digest else None
    with TemporaryDirectory(prefix="slipway-manifests-") as folder:
        directory = Path(folder)
        if snapshot is None:
            registry = registry_of(
                artifacts, settings, Limits(settings.pull_timeout_s, pauses_s=(0.5,))
            )
            try:
                pull_manifests(registry, directory)
            except UnavailableError:
                if (snapshot := cache.find(artifacts)) is None:
                    raise
        try:
            yield snapshot.directory if snapshot else directory
        finally:
            if snapshot:
                snapshot.release()
