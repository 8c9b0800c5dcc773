"""Make the repository that the settings ask for."""

from functools import partial

from serve.repository.load_version import load_version
from serve.repository.models import ModelRepository, Report
from serve.repository.scan import list_models
from serve.settings import Settings


def open_repository(settings: Settings, report: Report = lambda _: None) -> ModelRepository:
    """List the models of the artifacts directory; `ModelRepository.start` loads them.

    Args:
        settings: name the directory, and say which models are lazy.
        report: takes the lines of the log.

    Raises:
        ArtifactError: the directory cannot be read, or holds no model.
    """
    listing = list_models(settings.artifacts, allow_seeded=settings.allow_seeded)
    for sentence in listing.ignored:
        report(sentence)
    return ModelRepository(
        listing.entries,
        partial(load_version, threads=settings.threads),
        is_lazy=settings.lazy.__contains__,
        wait_s=settings.timeout_s,
        report=report,
    )
