"""Load the models while the server runs, and say when that is done."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from runtime.engine.allocator import release_free_memory
from runtime.errors import ArtifactError
from serve.repository.models import ModelRepository
from serve.repository.readiness import missing_models
from serve.repository.task_models import check_ensemble
from serve.settings import Settings

READY = "ready"  # the line of the log when all that must serve can
NOTHING_TO_SERVE = "no model can be served; the lines above say why"


@contextmanager
def loading(
    repository: ModelRepository, settings: Settings, *, fail: Callable[[str], None]
) -> Iterator[None]:
    """Load the models in a thread while the block runs; close the repository at its end.

    Args:
        repository: not started.
        settings: say which models must serve; they are loaded first.
        fail: takes the reason why the server can answer nothing, from another thread.
    """

    def finish(loads: Future[None]) -> None:
        if not loads.cancelled() and (problem := _finish(repository, settings)):
            repository.report(problem)
            fail(problem)

    repository.start(first=settings.must_serve.__contains__).add_done_callback(finish)
    try:
        yield
    finally:
        repository.close()


def _finish(repository: ModelRepository, settings: Settings) -> str:
    """Check what is loaded, and report it; return why the server can answer nothing, or ""."""
    if not len(repository):
        return NOTHING_TO_SERVE
    loaded = {name: repository.loaded(name) for name in repository}
    try:
        check_ensemble({name: m for name, m in loaded.items() if m is not None}, settings)
    except ArtifactError as error:
        return str(error)
    # every model has run once; the heap would keep the memory of the largest run
    release_free_memory()
    missing = missing_models(repository, settings.must_serve)
    for model_id, reason in missing.items():
        repository.report(f"not ready: {model_id}: {reason}")
    if not missing:
        repository.report(READY)
    return ""
