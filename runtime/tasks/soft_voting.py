"""Weighted soft voting: the mean of probabilities, each counted by its voter's weight."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError, ModelOutputError

Floats = NDArray[np.float64]
Weights = tuple[tuple[str, float], ...]  # who votes, and how much; weights need not add up to 1

ALLOWED = "model:weight of each member, separated by commas, as in one:0.6,other:0.4; above 0"
# probabilities of a graph add up to 1 within rounding: what may still come is uncertain by as much
_ROUNDING = 1e-6
_LONGEST = 80  # characters that a message repeats
_MOST_MEMBERS = 16
_ENTRY = re.compile(r"\s*([a-z][a-z0-9_-]{0,63})\s*(?::\s*([0-9]{1,4}(?:\.[0-9]{1,9})?)\s*)?")


@dataclass(frozen=True, slots=True)
class Vote:
    """What one member says."""

    weight: float  # above 0
    probabilities: Floats  # (K,) each in [0, 1], together 1


def shares(values: NDArray[np.floating], who: str) -> Floats:
    """Scores or probabilities as shares of 1, (K,) float64.

    Raises:
        ModelOutputError: a value is negative or no number, or all are 0.
    """
    given = np.asarray(values, np.float64)
    total = float(given.sum())
    if not np.isfinite(given).all() or given.min() < 0 or total <= 0:
        raise ModelOutputError(f"{who} gave values that are no probabilities")
    return given / total


def combine(votes: Sequence[Vote]) -> Floats | None:
    """The weighted mean, (K,) float64; None where nobody votes.

    Those who abstain are not among the votes, so the weights of the others count as shares of what
    is left.
    """
    if not votes:
        return None
    total: Floats = _sum(votes) / sum(vote.weight for vote in votes)
    return total


def settled(votes: Sequence[Vote], waiting: float) -> bool:
    """Whether the top label stays the top label, whatever the others say.

    Args:
        votes: cast so far.
        waiting: weight of all who were not asked yet. At most they give all of it to the label that
            is second now.
    """
    if not votes:
        return False
    second, first = np.sort(np.append(_sum(votes), 0.0))[-2:]  # 0: a lone label has no second
    return bool(first - second > waiting * (1 + _ROUNDING) + _ROUNDING)


def parse_weights(text: str) -> Weights:
    """Read `model:weight,model:weight`; a model without a weight has 1.

    Raises:
        InputError: ill-formed, a member twice, or none.
    """
    found = [_ENTRY.fullmatch(entry) for entry in text.split(",")]
    weights = [(match[1], float(match[2] or 1)) for match in found if match]
    shown = repr(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")
    if len(weights) < len(found) or any(weight <= 0 for _, weight in weights):
        raise InputError(f"weights are {shown}; allowed: {ALLOWED}")
    if len({name for name, _ in weights}) < len(weights):
        raise InputError(f"weights {shown} name a member twice; allowed: once")
    if len(weights) > _MOST_MEMBERS:
        raise InputError(f"weights name {len(weights)} members; allowed: {_MOST_MEMBERS}")
    return tuple(weights)


def _sum(votes: Sequence[Vote]) -> Floats:
    total: Floats = np.sum([vote.weight * vote.probabilities for vote in votes], axis=0)
    return total
