"""The models as one request sees them: of each the version that was chosen for it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from runtime import Model
from serve.repository.models import ModelRepository
from serve.routing.choice import Choice


@dataclass(frozen=True, slots=True)
class ChosenModels:
    """Lends the versions that a choice takes."""

    repository: ModelRepository
    choice: Choice

    def __iter__(self) -> Iterator[str]:
        """Return the ids."""
        return iter(self.repository)

    def __len__(self) -> int:
        """Return the number of models."""
        return len(self.repository)

    def __contains__(self, model_id: object) -> bool:
        """Return whether there is such a model."""
        return model_id in self.repository

    def lend(self, model_id: str) -> tuple[Model, Callable[[], None]]:
        """Return a model, and a function that gives it back."""
        return self.repository.lend(model_id, self.choice)
