"""One-sided bounds of shares and means, of 95 % certainty. Equal data give equal bounds.

Where several graphs are judged on the same media, each look is another chance to pass by luck. All
looks together may err in 5 %: `look_confidence` divides them.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
FIRST_LOOK = 0.04  # of the 5 %: 99 of 100 are then still at least 0.95
RESAMPLES = 2000
SEED = 0x1B8
_BISECTIONS = 50

Values = NDArray[np.float64]


def look_confidence(look: int) -> float:
    """Return the confidence of a bound for the graph that is judged as number `look`, from 1.

    The first graph errs in 4 %, the second in 0.5 %, each later one in half of that: 5 % together.
    This holds for an order that does not depend on what was seen.
    """
    rest = 1 - CONFIDENCE - FIRST_LOOK
    return 1 - (FIRST_LOOK if look == 1 else rest / 2 ** (look - 1))


def share_lower(successes: int, count: int, confidence: float = CONFIDENCE) -> float:
    """Return the lower bound of a share of independent trials, by Clopper and Pearson; 0 of none.

    It stays below 1 where every trial succeeds: 0.970 of 100.
    """
    if not count:
        return 0.0
    low, high = 0.0, 1.0  # of the share of failures
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if _tail(count - successes, count, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return 1 - high


def _tail(failures: int, count: int, share: float) -> float:
    """Return the probability of at most `failures` of `count`, if each fails with this share."""
    return sum(
        math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(failures + 1)
    )


def mean_upper(values: Values, confidence: float = CONFIDENCE) -> float:
    """Return the upper bound of a mean, by bootstrap over its values; infinity of none."""
    if not len(values):
        return math.inf
    means = resamples(len(values)) @ values / len(values)
    return float(np.quantile(means, confidence))


def mean_lower(values: Values) -> float:
    """Return the lower bound of a mean, by bootstrap over its values; minus infinity of none."""
    return -mean_upper(-values)


def ratio_lower(parts: Values, totals: Values, confidence: float = CONFIDENCE) -> float:
    """Return the lower bound of sum(parts) / sum(totals), by bootstrap over the rows; 0 of none.

    Args:
        parts: (N,) such as the boxes found in each image.
        totals: (N,) such as all boxes of each image. Resamples whose total is 0 count as 0.
        confidence: of the bound.
    """
    count = float(totals.sum())
    if not count:
        return 0.0
    weights = resamples(len(parts))
    found, total = weights @ parts, weights @ totals
    ratios = np.divide(found, total, out=np.zeros_like(found), where=total > 0)
    lower = float(np.quantile(ratios, 1 - confidence))
    # resamples of no failure show none: no surer than as many independent trials without one
    return min(lower, share_lower(round(count), round(count), confidence))


@lru_cache(maxsize=4)  # drawn for every graph that is measured
def resamples(count: int) -> Values:
    """Return how often each row is drawn, (RESAMPLES, count); the same in every call."""
    shares = np.full(count, 1 / count)
    draws = np.random.default_rng(SEED).multinomial(count, shares, RESAMPLES)
    weights = draws.astype(np.float64)
    weights.flags.writeable = False
    return weights
