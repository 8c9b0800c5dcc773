"""Hashes of files and of named arrays."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def sha256(path: Path) -> str:
    """Hash of a file's content; of a directory's, names and contents of its files in name order."""
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.is_file())
        lines = (f"{file.relative_to(path)} {sha256(file)}\n" for file in files)
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def tensors_digest(tensors: Mapping[str, np.ndarray]) -> str:
    """One hash of named arrays: names, dtypes, shapes and bytes, in name order."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
