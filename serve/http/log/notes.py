"""Note what the handlers of a request know, for its line of the log and the metrics.

The scope of a request carries it, so that a handler needs no reference to log or metrics. Every
model is one that is served: its id is no text of the client.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import Scope

_MODEL = "slipway.model"
_STAGES = "slipway.stages"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The model of a request, and the version that answered; "" for none."""

    id: str = ""
    version: str = ""


def note_model(scope: Scope, model_id: str, version: int | str = "") -> None:
    """Note the model whose queue a request joins, and the version that answers."""
    scope[_MODEL] = ServedModel(model_id, str(version))


def note_stages(scope: Scope, stages_s: Mapping[str, float]) -> None:
    """Note the seconds of each stage between the arrival of the body and the answer."""
    scope[_STAGES] = stages_s


def model_of(scope: Scope) -> ServedModel:
    """Return the model that was noted."""
    model: ServedModel = scope.get(_MODEL, ServedModel())
    return model


def stages_of(scope: Scope) -> Mapping[str, float]:
    """Return the seconds by stage that were noted; empty for a request that computed nothing."""
    stages: Mapping[str, float] = scope.get(_STAGES, {})
    return stages
