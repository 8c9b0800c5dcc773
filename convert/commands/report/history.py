"""Record when a version was converted and how long it took.

Two equal conversions make equal artifacts, so these facts lie outside of them:

<out>/.work/<model>.made.json    of the newest version
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from convert.files import write_json_atomic
from runtime.artifact.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Conversion:
    """The conversion that made one version."""

    version: int
    digest: str
    seconds: float
    at: str  # ISO 8601, UTC


def record_conversion(out: Path, model_id: str, conversion: Conversion) -> None:
    """Record a conversion that has just been packaged."""
    write_json_atomic(_path(out, model_id), asdict(conversion))


def read_conversion(out: Path, manifest: Manifest) -> Conversion | None:
    """Return the record of the conversion that made this version; None if there is none."""
    try:
        content = json.loads(_path(out, manifest.id).read_text(encoding="utf-8"))
        conversion = Conversion(
            int(content["version"]),
            str(content["digest"]),
            float(content["seconds"]),
            content["at"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None  # without it the report only leaves two cells empty
    same = (conversion.version, conversion.digest) == (manifest.version, manifest.digest)
    return conversion if same and isinstance(conversion.at, str) else None


def _path(out: Path, model_id: str) -> Path:
    return out / ".work" / f"{model_id}.made.json"
