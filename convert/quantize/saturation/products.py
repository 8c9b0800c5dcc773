"""Products of UINT8 and INT8 matrices: as they are, and as sums of 16 bits that saturate."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)

INT16 = np.iinfo(np.int16)
UINT8_MAX = 255


@dataclass(frozen=True, slots=True)
class Products:
    """Sums of products, and how many pairs of them did not fit into 16 bits."""

    sums: NDArray[np.int32]  # (M, N)
    saturated_pairs: int
    pairs: int  # of all outputs


def exact(activations: NDArray[np.uint8], weights: NDArray[np.int8]) -> NDArray[np.int32]:
    """(M, K) uint8 by (K, N) int8, summed in 32 bits: (M, N)."""
    return activations.astype(np.int32) @ weights.astype(np.int32)


def saturated(activations: NDArray[np.uint8], weights: NDArray[np.int8]) -> Products:
    """The same where products 2k and 2k + 1 are first summed in 16 bits.

    Args:
        activations: (M, K) uint8, zero point not taken off.
        weights: (K, N) int8. Where K is odd the last product is alone.
    """
    left, right = (
        of_pairs(activations.T.astype(np.int32)),
        of_pairs(weights.astype(np.int32)),
    )  # (K / 2, 2, M or N)
    sums = np.zeros((activations.shape[0], weights.shape[1]), np.int32)
    lost = 0
    for a, w in zip(left, right, strict=True):
        pair = a.T @ w
        fits = np.clip(pair, INT16.min, INT16.max)
        lost += int(np.count_nonzero(fits != pair))
        sums += fits
    return Products(sums, lost, sums.size * len(left))


def may_saturate(weights: NDArray[np.int8]) -> bool:
    """Whether activations exist that saturate a pair: never for weights of 7 bits.

    Args:
        weights: (K, N) int8, in the order in which they are paired.
    """
    pairs = of_pairs(weights.astype(np.int32))
    highest = np.maximum(pairs, 0).sum(axis=1) * UINT8_MAX
    lowest = np.minimum(pairs, 0).sum(axis=1) * UINT8_MAX
    return bool((highest > INT16.max).any() or (lowest < INT16.min).any())


def of_pairs(matrix: NDArray[T]) -> NDArray[T]:
    """(K, X) to (ceil(K / 2), 2, X), filled with zeros: products 2k and 2k + 1 are neighbours."""
    depth, width = matrix.shape
    return np.pad(matrix, ((0, depth % 2), (0, 0))).reshape(-1, 2, width)
