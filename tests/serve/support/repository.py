"""A repository whose models are loaded."""

from pathlib import Path
from typing import Any

from serve.repository.models import ModelRepository
from serve.repository.opening import open_repository
from serve.settings import Settings


def load_all(artifacts: Path, **settings: Any) -> ModelRepository:
    """Open a repository and wait until each model that is not lazy is loaded or refused."""
    repository = open_repository(Settings(artifacts=artifacts, **settings))
    repository.start().result()
    return repository
