"""Whether a conversion has been done before: a hash of everything it reads, without running it."""

import hashlib
import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from convert.export.frameworks.onnx_file import files_beside
from convert.files import sha256, write_json_atomic
from convert.package.artifact import digest, existing
from convert.recipe import RecipeFile
from convert.weights.resolve import Found
from runtime.artifact.manifest import Manifest

ROOT = Path(__file__).parents[2]
TOOLS = (
    "onnxruntime", "onnx", "numpy", "opencv-python-headless", "torch", "tensorflow-cpu", "keras",
    "tf2onnx", "transformers", "optimum", "optimum-onnx", "soundfile", "soxr",
)  # fmt: skip


def tool_versions() -> dict[str, str]:
    """Versions of what makes an artifact: equal versions promise equal files."""
    return {name: metadata.version(name) for name in TOOLS}


def fingerprint(
    recipe_file: RecipeFile,
    found: Found,
    calibration: str,
    precision: str,
    search: str = "default",
    *,
    pairs: str | None = None,
) -> str:
    """Hash of recipe, checkpoint, labels, calibration media, pairs, settings, code and tools."""
    sources = sorted(
        path for part in ("convert", "runtime") for path in (ROOT / part).rglob("*.py")
    )
    code = {str(path.relative_to(ROOT)): sha256(path) for path in sources}
    return digest(
        {
            "recipe": recipe_file.sha256,
            "checkpoint": content_digest(found.path),
            "labels": content_digest(found.labels),
            "reads": [content_digest(path) for path in recipe_file.recipe.reads()],
            "calibration": calibration,
            "pairs": pairs,
            "precision": precision,
            "search": search,
            "code": hashlib.sha256(json.dumps(code).encode()).hexdigest(),
            "tools": tool_versions(),
        }
    )


def content_digest(path: Path | None) -> str | None:
    """Hash of a file with its weights beside it, or of a directory; a missing one is told later."""
    if path is None or not path.exists():
        return None
    if path.is_file():
        beside = [file for file in files_beside(path) if file.is_file()]
        return "".join(sha256(file) for file in (path, *beside))
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return digest({str(file.relative_to(path)): sha256(file) for file in files})


def recall(out: Path, model_id: str, key: str) -> Manifest | None:
    """What this conversion made, if it is the newest version still, and whole."""
    digest_made = _read(_memory(out, model_id)).get(key)
    return existing(out, model_id, digest_made) if digest_made else None


def remember(out: Path, manifest: Manifest, key: str) -> None:
    """Note what a conversion made, by digest."""
    path = _memory(out, manifest.id)
    write_json_atomic(path, {**_read(path), key: manifest.digest})


def _memory(out: Path, model_id: str) -> Path:
    return out / ".work" / f"{model_id}.fingerprints.json"


def _read(path: Path) -> Mapping[str, str]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = None  # a cache: losing it costs a conversion, not an artifact
    return known if isinstance(known, dict) else {}
