"""Every model below the artifacts directory, loaded at the start; nothing is loaded later."""

from collections.abc import Mapping
from pathlib import Path

from runtime import Model, load
from runtime.engine.session import SessionOptions
from runtime.errors import ArtifactError
from serve.errors import NotFoundError
from serve.text.quoting import quoted

Catalog = Mapping[str, Model]


def load_catalog(artifacts: Path, *, threads: int, allow_seeded: bool) -> Catalog:
    """Load the newest version of every model.

    Args:
        artifacts: each directory in it is a model; files and names that begin with "." are not.
        threads: of onnxruntime within one run.
        allow_seeded: take untrained weights too.

    Raises:
        ArtifactError: there is no model, one is refused, or one is seeded and that is not allowed.
    """
    models = {
        path.name: _load_model(path, threads=threads, allow_seeded=allow_seeded)
        for path in _model_directories(artifacts)
    }
    if not models:
        raise ArtifactError(f"{artifacts} holds no model; make them: python -m convert run")
    return models


def find(catalog: Catalog, model_id: str) -> Model:
    """The model of that id.

    Raises:
        NotFoundError: there is none; the message names those there are.
    """
    if model_id not in catalog:
        raise NotFoundError(f"model {quoted(model_id)} is unknown; known: {', '.join(catalog)}")
    return catalog[model_id]


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
