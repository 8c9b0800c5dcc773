"""Fit a scale of similarity to the cosines of labelled pairs.

A scale is piecewise linear. The cosines of each kind span a band, and the scale maps it to the
band of scores of that kind. Half of the gap between two bands is added to them, so that unlabelled
pairs near a band fall into it. If bands overlap, the same share of each kind is dropped at both
ends as outliers: the smallest of TRIMS that separates the bands. If none does, the pairs
contradict each other and are refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.errors import PairsError
from convert.pipeline.similarity.labelled_pairs import KINDS, Kind, Pairs
from runtime.artifact.spec import SimilarityScale
from runtime.tasks.similarity import score

BANDS: Mapping[Kind, tuple[float, float]] = {  # scores that a pair of each kind should get
    "identical": (0.99, 1.0),
    "similar": (0.7, 0.9),
    "different": (0.1, 0.3),
}
MIN_PAIRS = 3  # of similar and of different pairs; identical ones may be missing
TRIMS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25)  # shares dropped at each end, tried in this order
MIN_GAP = 1e-3  # between two bands of cosines: less is rounding

Cosines = Mapping[Kind, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class _Band:
    low: float
    high: float


def fit_scale(cosines: Cosines, pairs: Pairs) -> SimilarityScale:
    """Fit a scale to the cosines of judged pairs.

    Args:
        cosines: by kind, (M,) in [-1, 1]; `identical` may be empty.
        pairs: the labelled pairs, named in errors and recorded by digest.

    Raises:
        PairsError: too few pairs, or they contradict each other: different pairs have the cosines
            of similar ones, or similar pairs those of identical ones.
    """
    for kind in ("similar", "different"):
        if len(cosines[kind]) < MIN_PAIRS:
            count = f"{len(cosines[kind])} pairs are {kind}"
            raise PairsError(f"{pairs.source}: {count}; needed: at least {MIN_PAIRS}")
    for trim in TRIMS:
        bands = {kind: _band(cosines[kind], trim) for kind in KINDS}
        between = bands["similar"].low - bands["different"].high
        above = bands["identical"].low - bands["similar"].high
        if between >= MIN_GAP and above >= MIN_GAP:
            return _scale(bands, between, above, pairs.digest)
    raise PairsError(
        f"{pairs.source}: the pairs contradict each other, as this model sees them: "
        f"{'; '.join(_format_cosines(kind, cosines[kind]) for kind in KINDS)}; needed: identical "
        "above similar above different, but for a quarter of them"
    )


def measure_scale(cosines: Cosines, scale: SimilarityScale) -> dict[str, Any]:
    """Return, by kind: the number of pairs, their cosines and scores, and the share in its band."""
    return {kind: _measured(cosines[kind], scale, *BANDS[kind]) for kind in KINDS}


def _band(cosines: NDArray[np.float64], trim: float) -> _Band:
    if not len(cosines):
        return _Band(1.0, 1.0)  # the cosine of an image with itself
    low, high = np.quantile(cosines, [trim, 1 - trim])
    return _Band(float(low), float(high))


def _scale(
    bands: Mapping[Kind, _Band], between: float, above: float, digest: str
) -> SimilarityScale:
    different, similar, identical = (bands[k] for k in ("different", "similar", "identical"))
    margin = (different.high - different.low) / 2 + between / 4
    lowest = different.low - min(margin, (different.low + 1) / 2)
    knots = [
        (lowest, 0.1),
        (different.high + between / 4, 0.3),
        (similar.low - between / 4, 0.7),
        (similar.high + above / 4, 0.9),
        (identical.low - above / 4, 0.99),
        (1.0, 1.0),
    ]
    rounded = [(round(place, 7), value) for place, value in knots]
    if rounded[0][0] > -1:  # the scale covers every cosine
        rounded.insert(0, (-1.0, 0.0))
    places, scores = zip(*rounded, strict=True)
    return SimilarityScale(places, scores, digest)


def _measured(
    cosines: NDArray[np.float64], scale: SimilarityScale, low: float, high: float
) -> dict[str, float]:
    if not len(cosines):
        return {"pairs": 0}
    scores = np.array([score(float(cosine), scale) for cosine in cosines])
    return {
        "pairs": len(cosines),
        "cosine_min": float(cosines.min()),
        "cosine_median": float(np.median(cosines)),
        "cosine_max": float(cosines.max()),
        "score_min": float(scores.min()),
        "score_median": float(np.median(scores)),
        "score_max": float(scores.max()),
        "within": float(np.mean((scores >= low) & (scores <= high))),
    }


def _format_cosines(kind: Kind, cosines: NDArray[np.float64]) -> str:
    if not len(cosines):
        return f"{kind}: none"
    low, median, high = np.quantile(cosines, [0, 0.5, 1])
    return f"{kind}: {low:.3f} to {high:.3f}, half of {len(cosines)} above {median:.3f}"
