"""Small JSON files beside the artifacts and downloads: written whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any


def write_note(path: Path, content: Any) -> None:
    """Write JSON beside the place, then rename: a crash leaves the earlier file.

    Raises:
        OSError: disk full or not writable.
    """
    beside = path.with_name(f"{path.name}.tmp")
    beside.write_text(json.dumps(content, indent=1), encoding="utf-8")
    os.replace(beside, path)
