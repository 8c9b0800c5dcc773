"""Weights and input that anybody can repeat, to compare a network with its upstream's.

Recorded outputs are upstream's own: its module, under its own names, filled by `filled`, in eval
mode, given `noise`.
"""

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np


def filled(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state_dict of the same names and shapes; values depend on the names alone.

    Statistics of batch normalisation are neither 0 nor 1, either of which could hide an error.
    """
    return {name: _values(name, tensor) for name, tensor in state.items()}


def noise(side: int) -> Any:
    """(2, 3, side, side) float32 tensor."""
    import torch

    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.standard_normal((2, 3, side, side), dtype=np.float32))


def _values(name: str, tensor: Any) -> Any:
    import torch

    if not tensor.is_floating_point():
        return tensor.clone()
    rng, shape = np.random.default_rng(zlib.crc32(name.encode())), tuple(tensor.shape)
    if len(shape) > 1:
        values = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    elif name.endswith("running_var"):
        values = rng.uniform(0.5, 1.5, shape)
    else:
        values = rng.normal(1.0 if name.endswith("weight") else 0.0, 0.1, shape)
    return torch.from_numpy(np.asarray(values, np.float32))
