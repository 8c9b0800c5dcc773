"""Specs of each task as JSON, which tests change field by field."""

from typing import Any


def tensor(name: str, *shape: int | str) -> dict[str, Any]:
    """Return a float32 tensor of a spec."""
    return {"name": name, "dtype": "float32", "shape": list(shape)}


LETTERBOX = {"op": "letterbox", "interpolation": "linear", "height": 8, "width": 8}
SUPPRESSION = {"score_threshold": 0.25, "iou_threshold": 0.7, "max_detections": 300}
DETECTOR: dict[str, Any] = {
    "schema_version": 1,
    "id": "finder",
    "task": "object-detection",
    "description": "",
    "labels": ["face"],
    "inputs": [{"name": "image", "dtype": "uint8", "shape": ["N", 8, 8, 3]}],
    "outputs": [tensor("boxes_xyxy", "N", 5, 4), tensor("scores", "N", 5, 1)],
    "preprocess": [LETTERBOX],
    "licence": "MIT",
    "suppression": SUPPRESSION,
}


def spec_of(task: str, *, inputs: list[Any], output: str, steps: list[Any]) -> dict[str, Any]:
    """Return a spec with one output of three values."""
    return {
        "schema_version": 1,
        "id": "listener",
        "task": task,
        "description": "",
        "labels": ["a", "b", "c"] if output == "probabilities" else [],
        "inputs": inputs,
        "outputs": [tensor(output, "N", 3)],
        "preprocess": steps,
        "licence": "MIT",
    }


def integers(name: str) -> dict[str, Any]:
    """Return an int64 tensor of a spec."""
    return {"name": name, "dtype": "int64", "shape": ["N", "L"]}


FRAMES = {"name": "frames", "dtype": "uint8", "shape": ["N", 4, 8, 8, 3]}
RESIZE = {"op": "resize", "interpolation": "linear", "height": 8, "width": 8}
SAMPLE = {"op": "sample_frames", "count": 4}
RESAMPLE = {"op": "resample", "sampling_rate": 16_000}
TOKENIZE = {"op": "tokenize", "max_length": 8, "lowercase": True}
VOICE = spec_of(
    "audio-classification",
    inputs=[tensor("waveform", "N", "S")],
    output="probabilities",
    steps=[RESAMPLE],
)
GAIT = spec_of(
    "video-classification",
    inputs=[FRAMES, tensor("condition", "N", 384)],
    output="probabilities",
    steps=[SAMPLE, RESIZE],
)
TEXT = spec_of(
    "sentence-similarity",
    inputs=[integers("input_ids"), integers("attention_mask")],
    output="embedding",
    steps=[TOKENIZE],
)
