"""The spec of a model (inputs, outputs, steps around the graph) and its consistency checks."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from runtime.artifact import schema
from runtime.artifact.steps import Resample, SampleFrames, Step, Tokenize, check_step, image_steps
from runtime.errors import ArtifactError

SCHEMA_VERSION = 1

Dtype = Literal[
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
    "string",
]
DATATYPES: Mapping[Dtype, str] = {  # their names in the Open Inference Protocol
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "string": "BYTES",
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

# Inputs of the tasks whose media the runtime turns into named tensors: dtype and rank by name.
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
    """An input or output of the graph."""

    name: str
    dtype: Dtype
    shape: tuple[int | str, ...]  # a string names an axis of any size, such as "N", the batch


def numpy_dtype(dtype: Dtype) -> np.dtype[Any]:
    """Return the dtype of arrays of a tensor: of strings, `object`, whose elements are str."""
    return np.dtype(object if dtype == "string" else dtype)


@dataclass(frozen=True, slots=True)
class NmsConfig:
    """The settings of non-maximum suppression, which runs outside of the graph."""

    score_threshold: float  # in [0, 1]; a box is removed unless its best score is above
    iou_threshold: float  # in [0, 1]; of boxes of a class that overlap by more, the best stays
    max_detections: int  # per image, those with the best scores


@dataclass(frozen=True, slots=True)
class SimilarityScale:
    """The map from the cosine of two embeddings to a similarity score, linear between knots.

    The conversion fits it to pairs of images whose similarity people have labelled.
    """

    cosines: tuple[float, ...]  # of the knots, ascending from -1 to 1
    scores: tuple[float, ...]  # of the knots, in [0, 1], ascending
    pairs: str  # "sha256:..." of the labelled pairs


@dataclass(frozen=True, slots=True)
class Spec:
    """Everything needed to serve a model; each ONNX file has a copy in metadata_props["spec"]."""

    schema_version: int
    id: str  # name of the recipe file, of the directory, and in URLs
    task: Task
    description: str
    labels: tuple[str, ...]  # in output order; empty for tasks without classes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocess: tuple[Step, ...]  # geometry only, applied in order; numerics are in the graph
    licence: str  # SPDX id, or the statement of the weights' owner
    suppression: NmsConfig | None = None  # required for object-detection, refused for other tasks
    similarity: SimilarityScale | None = None  # for image-feature-extraction; None: not fitted


def parse_spec(text: str, where: str) -> Spec:
    """Parse a spec from JSON text and check it.

    Raises:
        ArtifactError: the text is not JSON, of a newer schema, has an unknown field, step or task,
            or contradicts itself; the message begins with `where`.
    """
    data = load_json(text, where)
    check_schema_version(data, where)
    spec = schema.parse(Spec, data, where)
    check_spec(spec, where)
    return spec


def load_json(text: str, where: str) -> Any:
    """Parse JSON text.

    Raises:
        ArtifactError: the text is not JSON; the message begins with `where`.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # a number of 5000 digits is a plain ValueError
        raise ArtifactError(f"{where} is not JSON: {error}") from error


def check_schema_version(data: Any, where: str) -> None:
    """Refuse JSON of another schema version, before its fields are parsed.

    Raises:
        ArtifactError: the version is another; the message begins with `where`.
    """
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise ArtifactError(
            f"{where}.schema_version is {version!r}; this runtime reads {SCHEMA_VERSION}"
        )


def check_spec(spec: Spec, where: str) -> None:
    """Refuse a spec that contradicts itself or its task.

    Raises:
        ArtifactError: naming the field; the message begins with `where`.
    """
    if not MODEL_ID.fullmatch(spec.id):
        raise ArtifactError(f"{where}.id is {spec.id!r}; allowed: {MODEL_ID.pattern}")
    if not spec.inputs or not spec.outputs:
        raise ArtifactError(f"{where}: a model has at least one input and one output")
    for output in spec.outputs:
        width = output.shape[-1] if output.shape else None
        has_classes = output.name in ("probabilities", "scores")
        if has_classes and isinstance(width, int) and width != len(spec.labels):
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
        state = "missing" if detects else f"given for {spec.task}"
        raise ArtifactError(f"{where}.suppression is {state}; object-detection alone has it")
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
    inputs = {tensor.name: (tensor.dtype, len(tensor.shape)) for tensor in spec.inputs}
    if inputs not in (dict(expected), {k: v for k, v in expected.items() if k != "condition"}):
        allowed = ", ".join(
            f"{name} {kind} of {rank} axes" for name, (kind, rank) in expected.items()
        )
        listed = ", ".join(f"{name} {kind} of {rank} axes" for name, (kind, rank) in inputs.items())
        raise ArtifactError(f"{where}.inputs are {listed}; {spec.task} takes {allowed}")
    ranks = {tensor.name: len(tensor.shape) for tensor in spec.outputs}
    if ranks.get(_OUTPUTS[spec.task]) != 2:
        needed = f"{_OUTPUTS[spec.task]} of 2 axes"
        raise ArtifactError(f"{where}.outputs are {', '.join(ranks)}; {spec.task} returns {needed}")


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
        ops = ", ".join(step.op for step in steps) or "empty"
        raise ArtifactError(f"{where}.preprocess is {ops}; {spec.task} allows {allowed}")
