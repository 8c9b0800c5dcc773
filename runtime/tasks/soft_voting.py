"""Weighted soft voting: the weighted mean of the members' class probabilities."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError, ModelOutputError, TooLargeError

Floats = NDArray[np.float64]
Weights = tuple[tuple[str, float], ...]  # (model id, weight); the weights need not sum to 1

ALLOWED = "model:weight of each member, separated by commas, as in one:0.6,other:0.4; above 0"
# The probabilities of a graph sum to 1 within rounding, so a vote that is still to come may be
# larger than its weight by this share.
_ROUNDING = 1e-6
_LONGEST_QUOTE = 80  # characters of an option that a message repeats
_MOST_MEMBERS = 16
LONGEST_TEXT = 2048  # characters of 16 members, with blanks
_ENTRY = re.compile(r"\s*([a-z][a-z0-9_-]{0,63})\s*(?::\s*([0-9]{1,4}(?:\.[0-9]{1,9})?)\s*)?")


@dataclass(frozen=True, slots=True)
class Vote:
    """The class probabilities of one member and its weight."""

    weight: float  # above 0
    probabilities: Floats  # (K,) each in [0, 1]; they sum to 1


def normalized(scores: NDArray[np.floating], model_id: str) -> Floats:
    """Divide scores by their sum.

    Args:
        scores: (K,) class scores or probabilities.
        model_id: named by the error.

    Returns:
        (K,) float64, sum 1.

    Raises:
        ModelOutputError: a score is negative, NaN or infinite, or all are 0.
    """
    values = np.asarray(scores, np.float64)
    total = float(values.sum())
    if not np.isfinite(values).all() or values.min() < 0 or total <= 0:
        raise ModelOutputError(f"{model_id} returned values that are no probabilities")
    return values / total


def weighted_mean(votes: Sequence[Vote]) -> Floats | None:
    """Return the weighted mean of the votes.

    Members that abstain cast no vote, so the others' weights are shares of a smaller total.

    Returns:
        (K,) float64; None without votes.
    """
    if not votes:
        return None
    mean: Floats = _weighted_sum(votes) / sum(vote.weight for vote in votes)
    return mean


def is_decided(votes: Sequence[Vote], remaining_weight: float) -> bool:
    """Check that no vote still to come can change the top label.

    Args:
        votes: those cast so far.
        remaining_weight: sum of the weights of all members that have not voted. In the worst case
            they put all of it on the label that is second now.
    """
    if not votes:
        return False
    # the appended 0 is the second label of a classifier that has only one
    second, first = np.sort(np.append(_weighted_sum(votes), 0.0))[-2:]
    return bool(first - second > remaining_weight * (1 + _ROUNDING) + _ROUNDING)


def parse_weights(text: str) -> Weights:
    """Parse `model:weight,model:weight`; a model without a weight gets 1.

    Raises:
        InputError: the text has another form, names a member twice or has more than 16 members.
        TooLargeError: it is longer than 16 members need.
    """
    if len(text) > LONGEST_TEXT:
        raise TooLargeError(f"weights have {len(text)} characters; allowed: {LONGEST_TEXT}")
    entries = [_ENTRY.fullmatch(entry) for entry in text.split(",")]
    weights = [(match[1], float(match[2] or 1)) for match in entries if match]
    quote = repr(text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}...")
    if len(weights) < len(entries) or any(weight <= 0 for _, weight in weights):
        raise InputError(f"weights are {quote}; allowed: {ALLOWED}")
    if len({name for name, _ in weights}) < len(weights):
        raise InputError(f"weights {quote} name a member twice; allowed: once")
    if len(weights) > _MOST_MEMBERS:
        raise InputError(f"weights name {len(weights)} members; allowed: {_MOST_MEMBERS}")
    return tuple(weights)


def _weighted_sum(votes: Sequence[Vote]) -> Floats:
    total: Floats = np.sum([vote.weight * vote.probabilities for vote in votes], axis=0)
    return total
