"""Files of the conversion: hashed, locked, and written whole or not at all.

Imports nothing of the project.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content in lower-case hex."""
    return digest(path, "sha256")


def digest(path: Path, algorithm: str) -> str:
    """Return the digest of a file's content in lower-case hex; `algorithm` is hashlib's name."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, made with its directory, until the context ends.

    A second process waits. The kernel releases the lock of a process that ends, also by kill -9.

    Raises:
        OSError: disk full or not writable.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def write_json_atomic(path: Path, content: Any) -> None:
    """Write JSON to a temporary file in the same folder, then rename it to `path`.

    A crash leaves the earlier file as it was.

    Raises:
        OSError: the disk is full or not writable.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    os.replace(temporary, path)
