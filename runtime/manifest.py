"""The artifact's own description: what `convert` writes and this runtime accepts, nothing else.

Format and rules: artifacts/README.md. Field comments here are the reference for each field.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from runtime import strict_json
from runtime.errors import ArtifactError
from runtime.steps import CenterCrop as CenterCrop  # callers find all that a spec holds here
from runtime.steps import Grayscale as Grayscale
from runtime.steps import Interpolation as Interpolation
from runtime.steps import Letterbox as Letterbox
from runtime.steps import Resize as Resize
from runtime.steps import Step as Step
from runtime.steps import check_step

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"

Dtype = Literal["uint8", "int64", "float32"]
Task = Literal[
    "image-classification", "image-feature-extraction", "image-segmentation", "object-detection"
]
MODEL_ID = re.compile(r"[a-z][a-z0-9_-]{0,63}")
VERSION = re.compile(r"[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of the graph."""

    name: str
    dtype: Dtype
    shape: tuple[int | str, ...]  # a string is an axis of any size: "N" (batch) and so on


@dataclass(frozen=True, slots=True)
class Suppression:
    """Which boxes of a detector are answered: the rest is done outside of the graph."""

    score_threshold: float  # of [0, 1]; a box counts where its best score is above
    iou_threshold: float  # of [0, 1]; a box that overlaps a better one of its class by more goes
    max_detections: int  # per image, the best by score


@dataclass(frozen=True, slots=True)
class Spec:
    """Everything needed to serve the model; also inside each ONNX file (metadata_props["spec"])."""

    schema_version: int
    id: str  # recipe file stem = directory = URL segment
    task: Task
    description: str
    labels: tuple[str, ...]  # in output order; empty for tasks without classes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocess: tuple[Step, ...]  # geometry only, applied in order; numerics are in the graph
    licence: str  # SPDX id, or what the owner of the weights states
    suppression: Suppression | None = None  # of object-detection, and of no other task


@dataclass(frozen=True, slots=True)
class File:
    """A file of the artifact, by name within its directory."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Variant:
    """One file set that can serve the model."""

    name: str  # "int8", "float"
    precision: Literal["int8", "float"]
    files: tuple[File, ...]  # the first is the ONNX file
    cpu_features: tuple[str, ...]  # the CPU has one of these flags; empty: any CPU
    verification: Mapping[str, Any]  # what was measured on this very file
    batch_invariant: bool  # row i of a batch equals row i alone


@dataclass(frozen=True, slots=True)
class Weights:
    """Where the weights come from."""

    origin: Literal["pretrained", "seeded"]  # seeded: untrained, predictions mean nothing
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

    @property
    def seeded(self) -> bool:
        """True when the weights are untrained stand-ins."""
        return self.weights.origin == "seeded"


def parse_spec(text: str, where: str) -> Spec:
    """Read a spec from JSON text.

    Raises:
        ArtifactError: not JSON, a newer schema, an unknown field, step or task, or steps that
            contradict themselves; the message begins with `where`.
    """
    data = _load_json(text, where)
    _check_schema_version(data, where)
    spec = strict_json.parse(Spec, data, where)
    _check_spec(spec, where)
    return spec


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
    data = _load_json(text, str(path))
    _check_schema_version(data, str(path))
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


def _load_json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # a number of 5000 digits is a plain ValueError
        raise ArtifactError(f"{where} is not JSON: {error}") from error


def _check_schema_version(data: Any, where: str) -> None:
    found = data.get("schema_version") if isinstance(data, dict) else None
    if found != SCHEMA_VERSION or isinstance(found, bool):
        raise ArtifactError(
            f"{where}.schema_version is {found!r}; this runtime reads {SCHEMA_VERSION}"
        )


def _check_spec(spec: Spec, where: str) -> None:
    if not MODEL_ID.fullmatch(spec.id):
        raise ArtifactError(f"{where}.id is {spec.id!r}; allowed: {MODEL_ID.pattern}")
    if not spec.inputs or not spec.outputs:
        raise ArtifactError(f"{where}: a model has at least one input and one output")
    for output in spec.outputs:
        width = output.shape[-1] if output.shape else None
        named = output.name in ("probabilities", "scores")
        if named and isinstance(width, int) and width != len(spec.labels):
            raise ArtifactError(f"{where}.labels has {len(spec.labels)}; {output.name}: {width}")
    _check_detector(spec, where)
    for index, step in enumerate(spec.preprocess):
        check_step(step, f"{where}.preprocess[{index}]")


def _check_detector(spec: Spec, where: str) -> None:
    detects = spec.task == "object-detection"
    if (spec.suppression is not None) != detects:
        found = "missing" if detects else f"given for {spec.task}"
        raise ArtifactError(f"{where}.suppression is {found}; object-detection alone has it")
    if spec.suppression is None:
        return
    limits = {"score_threshold": (0, 1), "iou_threshold": (0, 1), "max_detections": (1, 1000)}
    for name, (smallest, largest) in limits.items():
        value = getattr(spec.suppression, name)
        if not smallest <= value <= largest:
            allowed = f"{smallest} to {largest}"
            raise ArtifactError(f"{where}.suppression.{name} is {value}; allowed: {allowed}")
    _check_boxes(spec, where)


def _check_boxes(spec: Spec, where: str) -> None:
    if not spec.labels:
        raise ArtifactError(f"{where}.labels is empty; a detector has at least one")
    shapes = {output.name: output.shape for output in spec.outputs}
    for name, last in (("boxes_xyxy", 4), ("scores", len(spec.labels))):
        shape = shapes.get(name)
        if shape is None:
            raise ArtifactError(f"{where}.outputs lacks {name}; found: {', '.join(shapes)}")
        if len(shape) != 3 or shape[-1] != last:
            raise ArtifactError(f"{where}.outputs: {name} is {shape}; allowed: (N, A, {last})")
    points = shapes.get("keypoints", ("N", "A", "P", 2))
    if len(points) != 4 or points[-1] != 2:
        raise ArtifactError(f"{where}.outputs: keypoints is {points}; allowed: (N, A, P, 2)")


def _check_manifest(manifest: Manifest, directory: Path, where: str) -> None:
    _check_spec(manifest.spec, f"{where}.spec")
    if manifest.id != manifest.spec.id:
        raise ArtifactError(f"{where}.id is {manifest.id!r}; its spec says {manifest.spec.id!r}")
    if not manifest.variants:
        raise ArtifactError(f"{where}.variants is empty; a version has at least one")
    files = [file for variant in manifest.variants for file in variant.files] + [manifest.golden]
    for file in files:
        # a name that climbs out of the directory would let a manifest read any file of the host
        if file.name != Path(file.name).name or file.name in ("", ".", ".."):
            raise ArtifactError(
                f"{where}: file name {file.name!r} is not a plain name in {directory}"
            )
    if any(not variant.files for variant in manifest.variants):
        raise ArtifactError(f"{where}: a variant lists no files")
