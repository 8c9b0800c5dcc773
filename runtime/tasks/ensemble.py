"""Which models may vote on a face's emotion, and the vote that several of them make together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError
from runtime.model import Model
from runtime.tasks.emotions import in_order_of, speaks_of_emotions
from runtime.tasks.soft_voting import Weights


@dataclass(frozen=True, slots=True)
class Member:
    """A model with a vote."""

    model: Model
    weight: float  # above 0
    order: NDArray[np.int64]  # (K,) where the panel's labels stand among the model's own

    @property
    def detects(self) -> bool:
        """Whether it finds its faces itself."""
        return self.model.spec.task == "object-detection"


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Who votes. At least one member; the first is asked first."""

    labels: tuple[str, ...]  # (K,) in the words of the member that weighs most
    members: tuple[Member, ...]  # the heaviest first
    left_out: Mapping[str, str]  # why a model that was named has no vote, by its id


def build_ensemble(weights: Weights, models: Mapping[str, Model]) -> Ensemble:
    """Those of the models that are named and can vote.

    Args:
        weights: by model id; one that is not among the models is passed over.
        models: by id.

    Raises:
        InputError: nobody can vote, or two have different labels.
    """
    named = [(models[name], weight) for name, weight in weights if name in models]
    left_out = {model.spec.id: reason for model, _ in named if (reason := objection(model))}
    voting = [(model, weight) for model, weight in named if model.spec.id not in left_out]
    if not voting:
        reasons = "".join(f"; {name} {reason}" for name, reason in left_out.items())
        listed = ", ".join(name for name, _ in weights)
        raise InputError(f"nobody can vote on an emotion: asked for {listed}{reasons}")
    voting.sort(key=lambda each: -each[1])  # stable: of equal weights the first named
    first = voting[0][0]
    members = tuple(Member(model, weight, _order(model, first)) for model, weight in voting)
    return Ensemble(first.spec.labels, members, left_out)


def with_fallback(
    weights: Weights, models: Mapping[str, Model], find_fallback: Callable[[], Model]
) -> Weights:
    """Return the weights, with the fallback model added if none of the named models can vote.

    Args:
        weights: by model id.
        models: by id.
        find_fallback: looks the fallback model up, and raises the caller's error if it is absent;
            called only where it is needed.
    """
    present = [models[name] for name, _ in weights if name in models]
    if not all(objection(model) for model in present):
        return weights
    fallback = find_fallback().spec.id
    return (*(each for each in weights if each[0] != fallback), (fallback, 1.0))


def objection(model: Model) -> str | None:
    """Why a model cannot vote, as the rest of a sentence; None where it can."""
    spec = model.spec
    match spec.task:
        case "image-classification":
            outputs = [output.name for output in spec.outputs]
            is_picture = len(spec.inputs) == 1 and len(spec.inputs[0].shape) == 4
            if "probabilities" in outputs and is_picture:
                return None
            return "gives no probabilities of a picture"
        case "object-detection":
            if speaks_of_emotions(spec.labels):
                return None
            return "detects no emotions: its labels are others"
        case "image-feature-extraction":
            return "gives embeddings alone: its checkpoint has no class centres"
        case _:
            return f"is a model for {spec.task}"


def _order(model: Model, first: Model) -> NDArray[np.int64]:
    order = in_order_of(model.spec.labels, first.spec.labels)
    if order is None:
        raise InputError(
            f"{model.spec.id} has the labels {_listed(model.spec.labels)}; {first.spec.id}: "
            f"{_listed(first.spec.labels)}; allowed: members with the same labels"
        )
    return order


def _listed(labels: Sequence[str]) -> str:
    shown = ", ".join(labels[:12])
    return f"{shown}, ... ({len(labels)})" if len(labels) > 12 else shown or "none"
