"""The ensemble that votes on the emotion of a face: its members and their weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError
from runtime.model import Model
from runtime.tasks.emotions import label_order, names_emotions
from runtime.tasks.soft_voting import Weights


@dataclass(frozen=True, slots=True)
class Member:
    """A model that votes."""

    model: Model
    weight: float  # above 0
    label_order: NDArray[np.int64]  # (K,) index in the model's labels of each ensemble label

    @property
    def is_detector(self) -> bool:
        """Return True if the model finds the faces itself."""
        return self.model.spec.task == "object-detection"


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Models with the same labels that vote together; at least one, the heaviest first."""

    labels: tuple[str, ...]  # (K,) as the heaviest member writes them
    members: tuple[Member, ...]  # in the order in which they vote
    left_out: Mapping[str, str]  # by model id: the reason why a named model cannot vote


def build_ensemble(weights: Weights, models: Mapping[str, Model]) -> Ensemble:
    """Build an ensemble from the named models that can vote.

    Args:
        weights: pairs of model id and weight, which need not sum to 1; ids without a model are
            ignored.
        models: the models to choose from, by id.

    Raises:
        InputError: none of the models can vote, or two have different labels.
    """
    named = [(models[name], weight) for name, weight in weights if name in models]
    left_out = {model.spec.id: reason for model, _ in named if (reason := ineligibility(model))}
    voting = [(model, weight) for model, weight in named if model.spec.id not in left_out]
    if not voting:
        reasons = "".join(f"; {name} {reason}" for name, reason in left_out.items())
        names = ", ".join(name for name, _ in weights)
        raise InputError(f"no model can vote on an emotion: asked for {names}{reasons}")
    voting.sort(key=lambda entry: -entry[1])  # stable: equal weights stay in the order of `weights`
    heaviest = voting[0][0]
    members = tuple(Member(model, weight, _order_like(heaviest, model)) for model, weight in voting)
    return Ensemble(heaviest.spec.labels, members, left_out)


def with_fallback(
    weights: Weights, models: Mapping[str, Model], find_fallback: Callable[[], Model]
) -> Weights:
    """Return the weights, with the fallback model added if none of the named models can vote.

    The fallback is added at the end with weight 1, which replaces a weight that it had.

    Args:
        weights: pairs of model id and weight.
        models: the models to choose from, by id.
        find_fallback: looks the fallback model up, and raises the caller's error if it is absent;
            called only if the fallback is needed.
    """
    named = [models[name] for name, _ in weights if name in models]
    if not all(ineligibility(model) for model in named):
        return weights
    fallback = find_fallback().spec.id
    return (*(entry for entry in weights if entry[0] != fallback), (fallback, 1.0))


def ineligibility(model: Model) -> str | None:
    """Return the reason why a model cannot vote, as "is a model for ..."; None if it can."""
    spec = model.spec
    match spec.task:
        case "image-classification":
            outputs = [output.name for output in spec.outputs]
            takes_image = len(spec.inputs) == 1 and len(spec.inputs[0].shape) == 4
            if "probabilities" in outputs and takes_image:
                return None
            return "returns no class probabilities for an image"
        case "object-detection":
            if names_emotions(spec.labels):
                return None
            return "detects no emotions: its labels are others"
        case "image-feature-extraction":
            return "returns embeddings only: its checkpoint has no class centres"
        case _:
            return f"is a model for {spec.task}"


def _order_like(heaviest: Model, model: Model) -> NDArray[np.int64]:
    """Return, for each label of the heaviest model, its index in the labels of `model`.

    Raises:
        InputError: the models have different labels.
    """
    order = label_order(model.spec.labels, heaviest.spec.labels)
    if order is None:
        raise InputError(
            f"{model.spec.id} has the labels {_format_labels(model.spec.labels)}; "
            f"{heaviest.spec.id}: {_format_labels(heaviest.spec.labels)}; "
            "allowed: members with the same labels"
        )
    return order


def _format_labels(labels: Sequence[str]) -> str:
    """Return the first twelve labels and the number of all, for a message."""
    names = ", ".join(labels[:12])
    return f"{names}, ... ({len(labels)})" if len(labels) > 12 else names or "none"
