"""What a graph takes and gives, and what is done around it: the spec, and the rules it keeps."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from runtime.artifact import schema as strict_json
from runtime.artifact.steps import Resample, SampleFrames, Step, Tokenize, check_step, image_steps
from runtime.errors import ArtifactError

SCHEMA_VERSION = 1

Dtype = Literal["uint8", "int64", "float32"]
DATATYPES: Mapping[Dtype, str] = {  # their names in the Open Inference Protocol
    "uint8": "UINT8",
    "int64": "INT64",
    "float32": "FP32",
}
Task = Literal[
    "image-classification",
    "image-feature-extraction",
    "image-segmentation",
    "object-detection",
    "audio-classification",
    "video-classification",
    "sentence-similarity",
]
MODEL_ID = re.compile(r"[a-z][a-z0-9_-]{0,63}")

# of the tasks whose media the runtime itself turns into several tensors: dtype and rank by name
_INPUTS: Mapping[str, Mapping[str, tuple[Dtype, int]]] = {
    "audio-classification": {"waveform": ("float32", 2)},
    "video-classification": {"frames": ("uint8", 5), "condition": ("float32", 2)},
    "sentence-similarity": {"input_ids": ("int64", 2), "attention_mask": ("int64", 2)},
}
_OUTPUTS: Mapping[str, str] = {
    "audio-classification": "probabilities",
    "video-classification": "probabilities",
    "sentence-similarity": "embedding",
}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of the graph."""

    name: str
    dtype: Dtype
    shape: tuple[int | str, ...]  # a string is an axis of any size: "N" (batch) and so on


@dataclass(frozen=True, slots=True)
class NmsConfig:
    """Which boxes of a detector are answered: the rest is done outside of the graph."""

    score_threshold: float  # of [0, 1]; a box counts where its best score is above
    iou_threshold: float  # of [0, 1]; a box that overlaps a better one of its class by more goes
    max_detections: int  # per image, the best by score


@dataclass(frozen=True, slots=True)
class SimilarityScale:
    """From the cosine of two embeddings to how alike people find such pairs: linear between knots.

    Fitted while converting, on pairs that somebody judged.
    """

    cosines: tuple[float, ...]  # of the knots, ascending, -1 first and 1 last
    scores: tuple[float, ...]  # in [0, 1], ascending, one for each
    pairs: str  # "sha256:..." of the pairs


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
    suppression: NmsConfig | None = None  # of object-detection, and of no other task
    similarity: SimilarityScale | None = None  # of image-feature-extraction; None: not fitted


def parse_spec(text: str, where: str) -> Spec:
    """Read a spec from JSON text.

    Raises:
        ArtifactError: not JSON, a newer schema, an unknown field, step or task, or steps that
            contradict themselves; the message begins with `where`.
    """
    data = load_json(text, where)
    check_schema_version(data, where)
    spec = strict_json.parse(Spec, data, where)
    check_spec(spec, where)
    return spec


def load_json(text: str, where: str) -> Any:
    """Parse JSON text.

    Raises:
        ArtifactError: it is none; the message begins with `where`.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # a number of 5000 digits is a plain ValueError
        raise ArtifactError(f"{where} is not JSON: {error}") from error


def check_schema_version(data: Any, where: str) -> None:
    """Refuse JSON of another schema, before its fields are looked at.

    Raises:
        ArtifactError: the message begins with `where`.
    """
    found = data.get("schema_version") if isinstance(data, dict) else None
    if found != SCHEMA_VERSION or isinstance(found, bool):
        raise ArtifactError(
            f"{where}.schema_version is {found!r}; this runtime reads {SCHEMA_VERSION}"
        )


def check_spec(spec: Spec, where: str) -> None:
    """Refuse a spec that contradicts itself or its task.

    Raises:
        ArtifactError: the message begins with `where`.
    """
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
    _check_scale(spec, where)
    _check_interface(spec, where)
    _check_steps(spec, where)
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


def _check_scale(spec: Spec, where: str) -> None:
    scale = spec.similarity
    if scale is None:
        return
    if spec.task != "image-feature-extraction":
        allowed = "image-feature-extraction alone may have it"
        raise ArtifactError(f"{where}.similarity is given for {spec.task}; {allowed}")
    ends = scale.cosines[:1] == (-1,) and scale.cosines[-1:] == (1,)
    within = scale.scores and scale.scores[0] >= 0 and scale.scores[-1] <= 1
    rising = all(
        all(before < after for before, after in pairwise(row))  # NaN is not below anything
        for row in (scale.cosines, scale.scores)
    )
    if not (len(scale.cosines) == len(scale.scores) >= 2 and ends and within and rising):
        raise ArtifactError(
            f"{where}.similarity maps {scale.cosines} to {scale.scores}; allowed: two or more "
            "cosines from -1 to 1 and as many scores in [0, 1], both rising"
        )


def _check_interface(spec: Spec, where: str) -> None:
    expected = _INPUTS.get(spec.task)
    if expected is None:
        return
    found = {tensor.name: (tensor.dtype, len(tensor.shape)) for tensor in spec.inputs}
    if found not in (dict(expected), {k: v for k, v in expected.items() if k != "condition"}):
        allowed = ", ".join(
            f"{name} {kind} of {rank} axes" for name, (kind, rank) in expected.items()
        )
        listed = ", ".join(f"{name} {kind} of {rank} axes" for name, (kind, rank) in found.items())
        raise ArtifactError(f"{where}.inputs are {listed}; {spec.task} takes {allowed}")
    ranks = {tensor.name: len(tensor.shape) for tensor in spec.outputs}
    if ranks.get(_OUTPUTS[spec.task]) != 2:
        needed = f"{_OUTPUTS[spec.task]} of 2 axes"
        raise ArtifactError(f"{where}.outputs are {', '.join(ranks)}; {spec.task} gives {needed}")


def _check_steps(spec: Spec, where: str) -> None:
    steps = spec.preprocess
    match spec.task:
        case "audio-classification":
            fits = len(steps) == 1 and isinstance(steps[0], Resample)
            allowed = "one resample"
        case "sentence-similarity":
            fits = len(steps) == 1 and isinstance(steps[0], Tokenize)
            allowed = "one tokenize"
        case "video-classification":
            fits = isinstance(next(iter(steps), None), SampleFrames)
            fits = fits and len(image_steps(steps)) == len(steps) - 1
            allowed = "sample_frames, then steps of images"
        case _:
            fits = len(image_steps(steps)) == len(steps)
            allowed = "steps of images"
    if not fits:
        found = ", ".join(step.op for step in steps) or "empty"
        raise ArtifactError(f"{where}.preprocess is {found}; {spec.task} allows {allowed}")
