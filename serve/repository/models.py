"""The models of the artifacts directory. All are loaded at start-up, none later."""

from collections.abc import Mapping
from pathlib import Path

from runtime import Model, load
from runtime.engine.session import SessionOptions
from runtime.errors import ArtifactError
from serve.errors import NotFoundError
from serve.text.messages import repr_truncated

ModelRepository = Mapping[str, Model]  # by id, all loaded; that of the command line loads later


def load_repository(artifacts: Path, *, threads: int, allow_seeded: bool) -> ModelRepository:
    """Load the newest version of every model.

    Args:
        artifacts: each directory in it is a model; files and names that begin with "." are not.
        threads: of onnxruntime within one run.
        allow_seeded: load models with untrained weights too.

    Raises:
        ArtifactError: there is no model, one is refused, or one has untrained weights and
            `allow_seeded` is false.
    """
    models = {
        path.name: _load_model(path, threads=threads, allow_seeded=allow_seeded)
        for path in _model_directories(artifacts)
    }
    if not models:
        raise ArtifactError(f"{artifacts} holds no model; make them: python -m convert run")
    return models


def find_model(repository: ModelRepository, model_id: str) -> Model:
    """Return the model of that id.

    Raises:
        NotFoundError: no model has that id; the message lists the ids.
    """
    if model_id not in repository:
        ids = ", ".join(repository)
        raise NotFoundError(f"model {repr_truncated(model_id)} is unknown; known: {ids}")
    return repository[model_id]


def _model_directories(artifacts: Path) -> list[Path]:
    try:
        entries = sorted(artifacts.iterdir())
    except OSError as error:
        raise ArtifactError(
            f"{artifacts} cannot be read ({error.strerror}); make it: python -m convert run"
        ) from error
    return [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]


def _load_model(path: Path, *, threads: int, allow_seeded: bool) -> Model:
    model = load(path, options=SessionOptions(threads=threads))
    if model.spec.id != path.name:
        raise ArtifactError(f"{path} holds the model {model.spec.id!r}; allowed: {path.name!r}")
    if model.manifest.seeded and not allow_seeded:
        raise ArtifactError(
            f"{path} has seeded weights: they are untrained and its answers mean nothing. "
            "Convert real ones (--weights pretrained), or set SLIPWAY_ALLOW_SEEDED=1"
        )
    return model
