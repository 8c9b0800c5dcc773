"""When a version was made and how long it took: no part of an artifact, and no two runs agree.

<out>/.work/<model>.made.json    of the newest version
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from convert.files import write_json_atomic
from runtime.artifact.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Made:
    """The making of one version."""

    version: int
    digest: str
    seconds: float
    at: str  # ISO 8601, UTC


def remember(out: Path, model_id: str, made: Made) -> None:
    """Note a conversion that has just been packaged."""
    write_json_atomic(_path(out, model_id), asdict(made))


def recall(out: Path, manifest: Manifest) -> Made | None:
    """What was noted of this very version; None: nothing, or of another one."""
    try:
        read = json.loads(_path(out, manifest.id).read_text(encoding="utf-8"))
        made = Made(int(read["version"]), str(read["digest"]), float(read["seconds"]), read["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # a note, no artifact: without it two cells of the report are empty
    same = (made.version, made.digest) == (manifest.version, manifest.digest)
    return made if same and isinstance(made.at, str) else None


def _path(out: Path, model_id: str) -> Path:
    return out / ".work" / f"{model_id}.made.json"
