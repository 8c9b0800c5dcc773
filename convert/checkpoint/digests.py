"""Digest of named arrays."""

import hashlib
from collections.abc import Mapping

import numpy as np


def tensors_digest(tensors: Mapping[str, np.ndarray]) -> str:
    """Return one SHA-256 of names, dtypes, shapes and bytes, in order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
