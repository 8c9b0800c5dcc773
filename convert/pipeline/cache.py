"""Recall earlier conversions by one hash of everything that they read."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from convert.export.frameworks.onnx_file import external_data_files
from convert.files import sha256, write_json_atomic
from convert.package.artifact import find_existing, json_digest
from convert.recipe import RecipeFile
from runtime.artifact.manifest import Manifest

ROOT = Path(__file__).parents[2]
TOOLS = (
    "onnxruntime", "onnx", "numpy", "opencv-python-headless", "torch", "tensorflow-cpu", "keras",
    "tf2onnx", "transformers", "optimum", "optimum-onnx", "soundfile", "soxr",
)  # fmt: skip


def tool_versions() -> dict[str, str]:
    """Return the versions of the packages that make an artifact: equal ones promise equal files."""
    return {name: metadata.version(name) for name in TOOLS}


def fingerprint(
    recipe_file: RecipeFile,
    checkpoint_hashes: tuple[str, ...],
    *,
    labels: Path | None = None,
    calibration: str = "synthetic",
    pairs: str | None = None,
    labelled: str | None = None,
    precision: str = "auto",
    search: str = "default",
    variants: Sequence[str] = (),
    options: Mapping[str, str] | None = None,
) -> str:
    """Return one hash of everything that decides the result of a conversion.

    Args:
        recipe_file: its own hash counts, and the content of what the recipe reads.
        checkpoint_hashes: see `content_hashes`.
        labels: the file of class names.
        calibration: digest of the media, or "synthetic".
        pairs: digest of the labelled pairs.
        labelled: digest of labelled images and their labels.
        precision: as asked for.
        search: effort of the search.
        variants: asked for besides those for CPUs.
        options: facts about the checkpoint that the user states, by name.
    """
    sources = sorted(
        path for part in ("convert", "runtime") for path in (ROOT / part).rglob("*.py")
    )
    code = {str(path.relative_to(ROOT)): sha256(path) for path in sources}
    return json_digest(
        {
            "recipe": recipe_file.sha256,
            "checkpoint": checkpoint_hashes,
            "labels": content_hashes(labels),
            "reads": [content_hashes(path) for path in recipe_file.recipe.reads()],
            "calibration": calibration,
            "pairs": pairs,
            "labelled": labelled,
            "precision": precision,
            "search": search,
            "variants": variants,
            "options": options or {},
            "code": hashlib.sha256(json.dumps(code).encode()).hexdigest(),
            "tools": tool_versions(),
        }
    )


def content_hashes(path: Path | None) -> tuple[str, ...]:
    """Return the hashes of a file, its external weights and its config.json, or one of a folder.

    Return () for None and for a path that does not exist: the code that reads it refuses it later.
    """
    if path is None or not path.exists():
        return ()
    if path.is_file():
        # config.json may name the network
        beside = (*external_data_files(path), path.with_name("config.json"))
        return tuple(sha256(file) for file in (path, *beside) if file.is_file())
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return (json_digest({str(file.relative_to(path)): sha256(file) for file in files}),)


def recall(out: Path, model_id: str, key: str) -> Manifest | None:
    """Return the manifest of an equal conversion, if its version is the newest and intact."""
    digest_by_key = _read(_record(out, model_id))
    return find_existing(out, model_id, digest_by_key[key]) if key in digest_by_key else None


def remember(out: Path, manifest: Manifest, key: str) -> None:
    """Record the digest of the version that a conversion made."""
    path = _record(out, manifest.id)
    write_json_atomic(path, {**_read(path), key: manifest.digest})


def _record(out: Path, model_id: str) -> Path:
    return out / ".work" / f"{model_id}.fingerprints.json"


def _read(path: Path) -> Mapping[str, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None  # a cache: losing it costs a conversion, not an artifact
    return content if isinstance(content, dict) else {}
