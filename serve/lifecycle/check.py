"""`python -m serve --check`: would the server serve with these settings?"""

from collections.abc import Iterator
from dataclasses import dataclass

from runtime.engine.resources import memory_limit_mib, peak_memory_mib
from runtime.errors import ArtifactError, SlipwayError, UnavailableError
from serve.http.listener import listen, url_of
from serve.keys.ring import KeyRing
from serve.keys.warning import open_to_all
from serve.repository.models import ModelRepository
from serve.repository.opening import open_repository
from serve.repository.pulled import pull_artifacts
from serve.repository.readiness import missing_models
from serve.repository.task_models import check_ensemble, check_task_models, task_models
from serve.settings import Settings


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the list."""

    name: str
    text: str
    verdict: str = "ok"  # or FAILED, or - for what can neither pass nor fail

    def __str__(self) -> str:
        """Return the line for the terminal."""
        return f"{self.verdict:7} {self.name:32} {self.text}".rstrip()


def check(settings: Settings) -> int:
    """Load every model as the server does, also the lazy ones, and print a line for each check.

    Returns:
        0 if the server would serve all that must be served, else 1.
    """
    lines = []
    for line in _lines(settings):
        print(line, flush=True)
        lines.append(line)
    failed = sum(line.verdict == "FAILED" for line in lines)
    print(f"\n{failed} of {len(lines)} failed" if failed else f"\nall {len(lines)} passed")
    return 1 if failed else 0


def _lines(settings: Settings) -> Iterator[Line]:
    yield Line("settings", "well formed")
    ports = {"port": settings.port, "metrics port": settings.metrics_port}
    if not settings.metrics_port:
        del ports["metrics port"]
    for name, port in ports.items():
        try:
            with listen(settings.host, port) as listener:
                yield Line(name, url_of(listener))
        except SlipwayError as error:
            yield Line(name, str(error), "FAILED")
    yield _keys(settings)
    notes: list[str] = []
    try:
        pulled = pull_artifacts(settings, notes.append)  # held to the end: its directory stays
        settings = pulled.settings
        repository = open_repository(settings, notes.append)
    except (ArtifactError, UnavailableError) as error:
        yield Line("artifacts", str(error), "FAILED")
        return
    yield from (Line("artifacts", note, "-") for note in notes)
    try:
        check_task_models(repository.tasks, task_models(settings))
    except ArtifactError as error:
        yield from (Line("settings", text, "FAILED") for text in str(error).splitlines())
    yield from _models(repository, settings)
    yield _memory(repository, settings.workers)


def _keys(settings: Settings) -> Line:
    try:
        keys = KeyRing(settings)
    except SlipwayError as error:
        return Line("keys", str(error), "FAILED")
    if not keys.is_required:
        return Line("keys", open_to_all(settings) or "none is asked for", "-")
    return Line("keys", f"{keys.reload()} in {settings.api_keys_file}")


def _models(repository: ModelRepository, settings: Settings) -> Iterator[Line]:
    """Yield a line per model, and per version that is refused."""
    repository.start().result()
    loaded = {}
    for model_id in repository.ids:
        must_serve = model_id in settings.must_serve
        try:
            model = loaded[model_id] = repository[model_id]
        except SlipwayError:
            reason = repository.status(model_id).problem
            yield Line(model_id, reason, "FAILED" if must_serve else "-")
            continue
        weights = model.manifest.weights.origin
        file = f"{model.variant.name} on {model.session.provider}"
        yield Line(model_id, f"version {model.manifest.version}, {file}, {weights} weights")
        yield from (Line(model_id, note, "-") for note in model.notes)
        for number, reason in repository.status(model_id).refused.items():
            yield Line(f"{model_id}/{number}", reason, "-")
    repository.close()
    absent = missing_models(repository, settings.must_serve).keys() - set(repository.ids)
    yield from (Line(name, "it is not in the directory", "FAILED") for name in sorted(absent))
    if not loaded:
        yield Line("artifacts", "no model can be served", "FAILED")
    try:
        check_ensemble(loaded, settings)
    except ArtifactError as error:
        yield Line("settings", str(error), "FAILED")


def _memory(repository: ModelRepository, workers: int) -> Line:
    """Return the line about the memory: the peak while every model was loaded and run once."""
    peak, limit = peak_memory_mib(), memory_limit_mib()
    if peak is None:
        return Line("memory", "this system does not tell", "-")
    peak = max(peak, repository.memory.ledger.peak_mib)
    text = f"{peak:.0f} MiB at most, without requests"
    if workers > 1:
        text = f"{workers} workers of {text}"
        peak *= workers
    if limit is None:
        return Line("memory", f"{text}; no limit is set", "-")
    verdict = "ok" if peak < limit else "FAILED"
    return Line("memory", f"{text}; the limit is {limit:.0f} MiB", verdict)
