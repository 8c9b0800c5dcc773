"""Products of UINT8 and INT8 matrices in numpy: exact, and with pairs that saturate in 16 bits.

Equal to the last bit to onnxruntime 1.31 on an AVX2 and an AVX-512 machine without VNNI.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.quantize.saturation.layers import INT16, pair_rows


@dataclass(frozen=True, slots=True)
class SaturatedProducts:
    """Sums of products, and the number of pairs that did not fit into 16 bits."""

    sums: NDArray[np.int32]  # (M, N)
    saturated_pairs: int
    pairs: int  # of all outputs


def exact(activations: NDArray[np.uint8], weights: NDArray[np.int8]) -> NDArray[np.int32]:
    """Multiply (M, K) uint8 by (K, N) int8 and add in 32 bits: (M, N)."""
    return activations.astype(np.int32) @ weights.astype(np.int32)


def saturated(activations: NDArray[np.uint8], weights: NDArray[np.int8]) -> SaturatedProducts:
    """Multiply as VPMADDUBSW does: add products 2k and 2k + 1 in 16 bits, then the pairs in 32.

    Args:
        activations: (M, K) uint8, zero point not subtracted.
        weights: (K, N) int8. The last product of an odd K has no neighbour.
    """
    left = pair_rows(activations.T.astype(np.int32))  # (K / 2, 2, M)
    right = pair_rows(weights.astype(np.int32))  # (K / 2, 2, N)
    sums = np.zeros((activations.shape[0], weights.shape[1]), np.int32)
    saturated_pairs = 0
    for a, w in zip(left, right, strict=True):
        pair = a.T @ w
        clipped = np.clip(pair, INT16.min, INT16.max)
        saturated_pairs += int(np.count_nonzero(clipped != pair))
        sums += clipped
    return SaturatedProducts(sums, saturated_pairs, sums.size * len(left))
