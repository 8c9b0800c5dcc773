"""Files of the conversion: hashed, and written whole or not at all. Imports nothing of ours."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content in lower-case hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_json_atomic(path: Path, content: Any) -> None:
    """Write JSON beside `path`, then rename it: a crash leaves the earlier file.

    Raises:
        OSError: disk full or not writable.
    """
    beside = path.with_name(f"{path.name}.tmp")
    beside.write_text(json.dumps(content, indent=1), encoding="utf-8")
    os.replace(beside, path)
