"""Make the repository that the settings ask for."""

from functools import partial

from runtime.artifact.signature import TrustedKeys
from runtime.engine.providers import find_providers
from runtime.engine.resources import cpu_count
from serve.repository.load_version import Load, load_version
from serve.repository.loader import Report
from serve.repository.measured_load import MeasuredLoad
from serve.repository.memory.budget import WORK_BYTES, find_limits
from serve.repository.memory.keeper import MemoryKeeper
from serve.repository.models import ModelRepository
from serve.repository.scan import list_models
from serve.routing.store import RoutingFile
from serve.settings import Settings


def open_repository(
    settings: Settings, report: Report = lambda _: None, load: Load | None = None
) -> ModelRepository:
    """Find the providers and list the models; `ModelRepository.start` loads them.

    Args:
        settings: name the directory and the providers, and say which models are lazy.
        report: takes the lines of the log.
        load: loads a version; None: with the providers of the settings.

    Raises:
        ArtifactError: the directory cannot be read, or holds no model; routing.json is wrong; or
            signatures are asked for, and cannot be checked here.
    """
    trusted = TrustedKeys(settings.trusted_keys)
    trusted.check_library()
    listing = list_models(settings.directory, allow_seeded=settings.allow_seeded, trusted=trusted)
    routing = RoutingFile(settings.directory).read()
    for sentence in listing.ignored:
        report(sentence)
    load = load or loader_of(settings, report)
    work_bytes = WORK_BYTES * (settings.runs or cpu_count())
    memory = MemoryKeeper(
        find_limits(settings.memory_mib, workers=settings.workers), work_bytes=work_bytes
    )
    return ModelRepository(
        listing.entries,
        MeasuredLoad(load, memory),
        routing=routing,
        is_lazy=settings.lazy.__contains__,
        wait_s=settings.timeout_s,
        report=report,
        memory=memory,
    )


def loader_of(settings: Settings, report: Report = lambda _: None) -> Load:
    """Return what loads a version with the providers of the settings, and checks its answers."""
    providers = find_providers(settings.providers, disable_gpu=settings.disable_gpu)
    for sentence in providers.skipped:
        report(sentence)
    return partial(
        load_version,
        threads=settings.threads,
        providers=providers.usable,
        trusted=TrustedKeys(settings.trusted_keys),
    )
