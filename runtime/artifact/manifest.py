"""The manifest of an artifact: written by `convert`, read and checked by the runtime.

artifacts/README.md describes the format; the comments of the fields here are its reference.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from runtime.artifact import schema
from runtime.artifact.spec import (
    MODEL_ID as MODEL_ID,  # re-exported, so that callers find all parts of a manifest here
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

BATCH_MILLISECONDS = "batch_milliseconds"  # in `verification`: of a run, by its rows
VOCABULARY, CONDITIONS = "vocabulary", "conditions"  # the roles of assets
Origin = Literal["pretrained", "seeded", "synthetic"]
FactOrigin = Literal["file", "option", "default"]


@dataclass(frozen=True, slots=True)
class File:
    """A file of an artifact."""

    name: str  # within the directory of the version
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Variant:
    """A form of the model that can be served: its files, and the machines that they are for."""

    name: str  # "int8", "int8-7bit", "float", "fp16"
    precision: Literal["int8", "float", "float16"]
    files: tuple[File, ...]  # the first is the ONNX file
    cpu_features: tuple[str, ...]  # the CPU has one of these flags; empty: any CPU
    verification: Mapping[str, Any]  # measurements on this file
    batch_invariant: bool  # True: a row's answer does not depend on the other rows of a batch
    # execution providers that it is for; empty: all, except that INT8 is for those on CPUs
    providers: tuple[str, ...] = ()

    def runs_on(self, features: frozenset[str]) -> bool:
        """Check whether a CPU with these instruction sets is one that the variant is for."""
        return not self.cpu_features or bool(features.intersection(self.cpu_features))

    @property
    def batch_times_ms(self) -> dict[int, float]:
        """Return the milliseconds of a run by its rows, ascending; empty if not measured."""
        recorded = self.verification.get(BATCH_MILLISECONDS, {})
        if not isinstance(recorded, Mapping):
            return {}
        times = (
            (int(rows), float(ms))
            for rows, ms in recorded.items()
            if str(rows).isdecimal() and isinstance(ms, int | float) and ms > 0
        )
        return dict(sorted(times))


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of a version and their origin."""

    origin: Origin  # seeded: untrained, answers mean nothing; synthetic: trained on synthetic data
    source: str  # file name or address
    sha256: str  # of the checkpoint file; of the tensors if seeded


@dataclass(frozen=True, slots=True)
class Assumption:
    """A fact that decides the answers and that the weights alone do not tell."""

    name: str  # the option that states it: "input_scale", "arch"
    value: str
    origin: (
        FactOrigin  # where the value is from; "default": it is assumed, and the answers may be off
    )
    sentence: str  # what follows from the value, and from where it is


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of manifest.json, which is written last: a version without it is incomplete."""

    schema_version: int
    id: str
    version: int
    digest: str  # over reference weights, spec, recipe and quantization; equal: same answers
    spec: Spec
    variants: tuple[Variant, ...]  # best first
    golden: File
    weights: Weights
    recipe_sha256: str
    calibration: str  # "synthetic", or the digest of the calibration directory
    choice: Mapping[str, Any]  # the selected quantization: settings, and the nodes left in float
    candidates: tuple[Mapping[str, Any], ...]  # every quantization tried, with its measurements
    parity: Mapping[str, Any]  # differences of the float graph from the framework's network
    tools: Mapping[str, str]  # versions of the converter's packages; equal ones make equal files
    onnxruntime_minimum: str
    assets: Mapping[str, File] = field(default_factory=dict)  # further files, by role
    assumptions: tuple[Assumption, ...] = ()  # earlier versions have none

    @property
    def files(self) -> tuple[File, ...]:
        """Return every file of the version except manifest.json."""
        variants = (file for variant in self.variants for file in variant.files)
        return (*variants, self.golden, *self.assets.values())

    @property
    def plain(self) -> Variant:
        """Return the float variant, which every version of `convert` holds; else the last one."""
        plain = (variant for variant in self.variants if variant.precision == "float")
        return next(plain, self.variants[-1])

    @property
    def seeded(self) -> bool:
        """Return True if the weights are untrained."""
        return self.weights.origin == "seeded"


def read_manifest(directory: Path, check: Callable[[bytes], None] | None = None) -> Manifest:
    """Read and check `manifest.json` of a version; `verify_file` checks the hashes of its files.

    Args:
        directory: of the version.
        check: gets the bytes of the file before they are parsed, to check their signature.

    Raises:
        ArtifactError: the file is missing, incomplete, of a newer schema, or has a wrong field.
    """
    path = directory / MANIFEST
    try:
        content = path.read_bytes()
        text = content.decode()
    except FileNotFoundError:
        raise ArtifactError(
            f"{directory} holds no {MANIFEST}: not an artifact, or half written"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from error
    if check is not None:
        check(content)
    data = load_json(text, str(path))
    check_schema_version(data, str(path))
    manifest = schema.parse(Manifest, data, str(path))
    _check_manifest(manifest, directory, str(path))
    return manifest


def verify_file(directory: Path, file: File) -> Path:
    """Check size and sha256 of a file and return its path.

    Raises:
        ArtifactError: the file is missing or differs from the manifest.
    """
    path = directory / file.name
    try:
        size_bytes = path.stat().st_size
        if size_bytes != file.size_bytes:
            raise ArtifactError(
                f"{path} has {size_bytes} bytes; the manifest says {file.size_bytes}"
            )
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from error
    if sha256 != file.sha256:
        raise ArtifactError(f"{path} has sha256 {sha256}; the manifest says {file.sha256}")
    return path


def versions(model_directory: Path) -> list[Path]:
    """Return the complete version directories of a model, oldest first; ignore other entries."""
    if not model_directory.is_dir():
        return []
    complete = [
        path
        for path in model_directory.iterdir()
        if VERSION.fullmatch(path.name) and (path / MANIFEST).is_file()
    ]
    return sorted(complete, key=lambda path: int(path.name))


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
        # with "../" in a name, a manifest could read any file of the host
        if file.name != Path(file.name).name or file.name in ("", ".", ".."):
            raise ArtifactError(
                f"{where}: file name {file.name!r} is not a plain name in {directory}"
            )
    if any(not variant.files for variant in manifest.variants):
        raise ArtifactError(f"{where}: a variant lists no files")
    _check_assets(manifest, where)


def _check_assets(manifest: Manifest, where: str) -> None:
    by_task = {"sentence-similarity": (VOCABULARY,), "video-classification": (CONDITIONS,)}
    allowed = by_task.get(manifest.spec.task, ())
    for role in manifest.assets:
        if role not in allowed:
            roles = ", ".join(allowed) or "none"
            raise ArtifactError(f"{where}.assets.{role} is unknown; {manifest.spec.task}: {roles}")
    if VOCABULARY in allowed and VOCABULARY not in manifest.assets:
        raise ArtifactError(f"{where}.assets lacks {VOCABULARY}; {manifest.spec.task} needs it")
    if CONDITIONS in manifest.assets and len(manifest.spec.inputs) < 2:
        raise ArtifactError(f"{where}.assets has {CONDITIONS}; the graph takes no condition")
