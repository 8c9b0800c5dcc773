"""The models that must serve, and why one of them cannot."""

from serve.repository.models import ModelRepository
from serve.repository.status import ModelState
from serve.settings.kinds import Selection


def missing_models(repository: ModelRepository, must_serve: Selection) -> dict[str, str]:
    """Return why each model that must serve cannot, by id; empty if all can.

    A lazy model that nobody has asked for yet can. Among `all`, one that an administrator unloaded
    does not count.
    """
    ids = must_serve.ids if not must_serve.every else _not_withdrawn(repository)
    reasons = {model_id: _reason(repository, model_id) for model_id in ids}
    return {model_id: reason for model_id, reason in reasons.items() if reason}


def _reason(repository: ModelRepository, model_id: str) -> str:
    if model_id not in repository:
        return "it is not in the directory of the models"
    return repository.status(model_id).problem


def _not_withdrawn(repository: ModelRepository) -> tuple[str, ...]:
    ids = repository.ids
    return tuple(i for i in ids if repository.status(i).state is not ModelState.WITHDRAWN)
