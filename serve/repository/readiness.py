"""The models that must serve, and why one of them cannot."""

from serve.repository.models import ModelRepository
from serve.settings.kinds import Selection


def missing_models(repository: ModelRepository, must_serve: Selection) -> dict[str, str]:
    """Return why each model that must serve cannot, by id; empty if all can.

    A lazy model that nobody has asked for yet can.
    """
    ids = repository.ids if must_serve.every else must_serve.ids
    reasons = {model_id: _reason(repository, model_id) for model_id in ids}
    return {model_id: reason for model_id, reason in reasons.items() if reason}


def _reason(repository: ModelRepository, model_id: str) -> str:
    if model_id not in repository:
        return "it is not in the directory of the models"
    return repository.status(model_id).problem
