"""Pull the artifacts that the settings name, or take them from the cache."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from runtime.transport.credentials import find_credentials
from runtime.transport.limits import MIB, Limits
from runtime.transport.reference import Reference
from runtime.transport.registry import Registry
from runtime.transport.snapshots import Cache, Snapshot
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
    credentials = find_credentials(reference.registry, os.environ)
    registry = Registry(reference, limits, credentials, plain_http=settings.plain_http)
    cache = Cache(settings.pull_cache.absolute(), settings.pull_cache_mib * MIB)
    snapshot = cache.obtain(registry, report)
    return Pulled(replace(settings, artifacts=snapshot.directory), snapshot)
