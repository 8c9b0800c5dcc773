"""The artifact's own description: what `convert` writes and this runtime accepts, nothing else.

Format and rules: artifacts/README.md. Field comments here are the reference for each field.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from runtime.artifact import schema as strict_json
from runtime.artifact.spec import (
    MODEL_ID as MODEL_ID,  # callers find all that a manifest holds here
)
from runtime.artifact.spec import SCHEMA_VERSION as SCHEMA_VERSION
from runtime.artifact.spec import Dtype as Dtype
from runtime.artifact.spec import NmsConfig as NmsConfig
from runtime.artifact.spec import SimilarityScale as SimilarityScale
from runtime.artifact.spec import Spec as Spec
from runtime.artifact.spec import Task as Task
from runtime.artifact.spec import TensorSpec as TensorSpec
from runtime.artifact.spec import check_schema_version, check_spec, load_json
from runtime.artifact.spec import parse_spec as parse_spec
from runtime.artifact.steps import CenterCrop as CenterCrop
from runtime.artifact.steps import Grayscale as Grayscale
from runtime.artifact.steps import Letterbox as Letterbox
from runtime.artifact.steps import Resample as Resample
from runtime.artifact.steps import Resize as Resize
from runtime.artifact.steps import SampleFrames as SampleFrames
from runtime.artifact.steps import Step as Step
from runtime.artifact.steps import Tokenize as Tokenize
from runtime.errors import ArtifactError

MANIFEST = "manifest.json"
VERSION = re.compile(r"[1-9][0-9]*")

VOCABULARY, CONDITIONS = "vocabulary", "conditions"  # the roles of assets
Origin = Literal["pretrained", "seeded", "synthetic"]


@dataclass(frozen=True, slots=True)
class File:
    """A file of the artifact, by name within its directory."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Variant:
    """One file set that can serve the model."""

    name: str  # "int8", "int8-7bit", "float"
    precision: Literal["int8", "float"]
    files: tuple[File, ...]  # the first is the ONNX file
    cpu_features: tuple[str, ...]  # the CPU has one of these flags; empty: any CPU
    verification: Mapping[str, Any]  # what was measured on this very file
    batch_invariant: bool  # row i of a batch equals row i alone

    def runs_on(self, features: frozenset[str]) -> bool:
        """Check whether a CPU with these instruction sets runs the variant."""
        return not self.cpu_features or bool(features.intersection(self.cpu_features))


@dataclass(frozen=True, slots=True)
class Weights:
    """Where the weights come from."""

    origin: Origin  # seeded: untrained, predictions mean nothing; synthetic: learnt from drawings
    source: str  # file name or address
    sha256: str  # of the checkpoint file; of the tensors where seeded


@dataclass(frozen=True, slots=True)
class Manifest:
    """manifest.json: written last, so that its presence means the version is complete."""

    schema_version: int
    id: str
    version: int
    digest: str  # identity: of reference weights, spec, recipe and quantization choice
    spec: Spec
    variants: tuple[Variant, ...]  # best first
    golden: File
    weights: Weights
    recipe_sha256: str
    calibration: str  # "synthetic", or the digest of the directory given
    choice: Mapping[str, Any]  # the quantization chosen: settings and the nodes left in float
    candidates: tuple[Mapping[str, Any], ...]  # every one tried, with its numbers
    parity: Mapping[str, Any]  # reference framework against the float graph
    tools: Mapping[str, str]  # versions that made it; equal versions promise equal files
    onnxruntime_minimum: str
    assets: Mapping[str, File] = field(default_factory=dict)  # further files, by role

    @property
    def files(self) -> tuple[File, ...]:
        """Every file that the version consists of, beside manifest.json."""
        variants = (file for variant in self.variants for file in variant.files)
        return (*variants, self.golden, *self.assets.values())

    @property
    def seeded(self) -> bool:
        """True when the weights are untrained stand-ins."""
        return self.weights.origin == "seeded"


def read_manifest(directory: Path) -> Manifest:
    """Read and check `manifest.json` of one version directory; file hashes are not read here.

    Raises:
        ArtifactError: missing, half-written, of a newer schema, or with a field out of place.
    """
    path = directory / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ArtifactError(
            f"{directory} holds no {MANIFEST}: not an artifact, or half written"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from error
    data = load_json(text, str(path))
    check_schema_version(data, str(path))
    manifest = strict_json.parse(Manifest, data, str(path))
    _check_manifest(manifest, directory, str(path))
    return manifest


def verify_file(directory: Path, file: File) -> Path:
    """Check size and sha256 of one file and give its path.

    Raises:
        ArtifactError: missing, or not the bytes the manifest names.
    """
    path = directory / file.name
    try:
        size_bytes = path.stat().st_size
        if size_bytes != file.size_bytes:
            raise ArtifactError(
                f"{path} has {size_bytes} bytes; the manifest says {file.size_bytes}"
            )
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from error
    if found != file.sha256:
        raise ArtifactError(f"{path} has sha256 {found}; the manifest says {file.sha256}")
    return path


def versions(model_directory: Path) -> list[Path]:
    """Complete version directories of a model, oldest first; anything else there is ignored."""
    if not model_directory.is_dir():
        return []
    found = [
        p
        for p in model_directory.iterdir()
        if VERSION.fullmatch(p.name) and (p / MANIFEST).is_file()
    ]
    return sorted(found, key=lambda p: int(p.name))


def find_models(artifacts: Path) -> dict[str, Path]:
    """Return the newest complete version directory of each model below a directory, by name."""
    entries = sorted(artifacts.iterdir()) if artifacts.is_dir() else []
    complete = {entry.name: versions(entry) for entry in entries if entry.name[0] != "."}
    return {name: directories[-1] for name, directories in complete.items() if directories}


def newest_versions(artifacts: Path) -> dict[str, Path]:
    """Return what `find_models` does, and refuse a directory without any model.

    Raises:
        ArtifactError: the directory holds no complete version of any model.
    """
    models = find_models(artifacts)
    if not models:
        raise ArtifactError(f"{artifacts} holds no model; make them: python -m convert run")
    return models


def _check_manifest(manifest: Manifest, directory: Path, where: str) -> None:
    check_spec(manifest.spec, f"{where}.spec")
    if manifest.id != manifest.spec.id:
        raise ArtifactError(f"{where}.id is {manifest.id!r}; its spec says {manifest.spec.id!r}")
    if not manifest.variants:
        raise ArtifactError(f"{where}.variants is empty; a version has at least one")
    for file in manifest.files:
        # a name that climbs out of the directory would let a manifest read any file of the host
        if file.name != Path(file.name).name or file.name in ("", ".", ".."):
            raise ArtifactError(
                f"{where}: file name {file.name!r} is not a plain name in {directory}"
            )
    if any(not variant.files for variant in manifest.variants):
        raise ArtifactError(f"{where}: a variant lists no files")
    _check_assets(manifest, where)


def _check_assets(manifest: Manifest, where: str) -> None:
    known = {"sentence-similarity": (VOCABULARY,), "video-classification": (CONDITIONS,)}
    allowed = known.get(manifest.spec.task, ())
    for role in manifest.assets:
        if role not in allowed:
            listed = ", ".join(allowed) or "none"
            raise ArtifactError(f"{where}.assets.{role} is unknown; {manifest.spec.task}: {listed}")
    if VOCABULARY in allowed and VOCABULARY not in manifest.assets:
        raise ArtifactError(f"{where}.assets lacks {VOCABULARY}; {manifest.spec.task} needs it")
    if CONDITIONS in manifest.assets and len(manifest.spec.inputs) < 2:
        raise ArtifactError(f"{where}.assets has {CONDITIONS}; the graph takes no condition")
