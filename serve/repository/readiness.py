"""The reasons why the server is not ready: its models that must serve, its memory, its end."""

from typing import TypedDict

from serve.repository.models import ModelRepository
from serve.repository.status import ModelState
from serve.settings.kinds import Selection


class Unreadiness(TypedDict, total=False):
    """The reasons why the server is not ready."""

    reason: str  # a sentence: it ends, or its memory is used up
    models: dict[str, str]  # of each model that must serve and cannot, by id


def unreadiness(
    repository: ModelRepository, must_serve: Selection, *, ending: str = ""
) -> Unreadiness:
    """Return why the server is not ready; empty if it is.

    Args:
        repository: of the models.
        must_serve: the models without which it is not ready.
        ending: why the server ends; "" if it does not.
    """
    missing = missing_models(repository, must_serve)
    reason = "; ".join(text for text in (ending, repository.memory.shortage) if text)
    content: Unreadiness = {}
    if reason:
        content["reason"] = reason
    if missing:
        content["models"] = missing
    return content


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
