"""Write the tiny ONNX files of this folder. Needs `onnx`, which the convert environment has."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, checker, helper, numpy_helper

HERE = Path(__file__).parent
OPSET = 17
IR_VERSION = 8
ONNX_TYPES = {
    "bool": TensorProto.BOOL,
    "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16,
    "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "float16": TensorProto.FLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "string": TensorProto.STRING,
}
LABELS = ["dark", "grey", "bright"]
SLOW_TURNS_PER_LEVEL = 10_000.0  # turns of the loop per grey level: 2.5 million if white

Tensor = dict[str, Any]


def tensor(name: str, dtype: str, *shape: int | str) -> Tensor:
    """Return an entry of a spec's inputs or outputs."""
    return {"name": name, "dtype": dtype, "shape": list(shape)}


def spec(
    model_id: str,
    task: str,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    *,
    labels: Sequence[str] = (),
    preprocess: Sequence[dict[str, Any]] = (),
    **fields: dict[str, Any],
) -> dict[str, Any]:
    """Return a spec as `convert` writes it; `fields` are those that not every task has."""
    return {
        "schema_version": 1,
        "id": model_id,
        "task": task,
        "description": "made by hand for the tests",
        "labels": list(labels),
        "inputs": list(inputs),
        "outputs": list(outputs),
        "preprocess": list(preprocess),
        "licence": "Apache-2.0",
        **fields,
    }


def constant(name: str, value: Any, dtype: Any = np.float32) -> NodeProto:
    """Return a Constant node whose output is `name`."""
    return helper.make_node(
        "Constant", [], [name], value=numpy_helper.from_array(np.asarray(value, dtype))
    )


def resize(size: int) -> dict[str, Any]:
    """Return the step of a spec that resizes to a square of `size` px."""
    return {
        "op": "resize",
        "interpolation": "linear",
        "height": size,
        "width": size,
        "shortest_side": None,
    }


def mean_brightness(axes: Sequence[int]) -> list[NodeProto]:
    """Compute `mean` from `image`: the mean over axes, in [0, 1]."""
    return [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["levels"], axes=list(axes), keepdims=0),
        constant("scale", 255.0),
        helper.make_node("Div", ["levels", "scale"], ["mean"]),
    ]


def classify() -> list[NodeProto]:
    """Compute `probabilities` (N, 3) from `mean` (N, 1): softmax of -8 times distances."""
    return [
        constant("centres", [[0.0, 0.5, 1.0]]),
        helper.make_node("Sub", ["mean", "centres"], ["difference"]),
        helper.make_node("Abs", ["difference"], ["distance"]),
        constant("steepness", -8.0),
        helper.make_node("Mul", ["distance", "steepness"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]


def classifier() -> tuple[dict[str, Any], list[NodeProto]]:
    """Classify a grey 8 x 8 image by its mean brightness."""
    facts = spec(
        "face_emotion_xception",
        "image-classification",
        [tensor("image", "uint8", "N", 8, 8, 1)],
        [tensor("probabilities", "float32", "N", 3)],
        labels=LABELS,
        preprocess=[resize(8), {"op": "grayscale"}],
    )
    return facts, [*mean_brightness((1, 2)), *classify()]


def slow() -> tuple[dict[str, Any], list[NodeProto]]:
    """Run a loop of as many turns as the image is bright, then the classifier."""
    facts = spec(
        "tiny_slow",
        "image-classification",
        [tensor("image", "uint8", "N", 8, 8, 1)],
        [tensor("probabilities", "float32", "N", 3)],
        labels=LABELS,
        preprocess=[resize(8), {"op": "grayscale"}],
    )
    flag = helper.make_tensor_value_info("flag", TensorProto.BOOL, [])
    turn = helper.make_tensor_value_info("turn", TensorProto.INT64, [])
    before = helper.make_tensor_value_info("before", TensorProto.FLOAT, [])
    after = helper.make_tensor_value_info("after", TensorProto.FLOAT, [])
    again = helper.make_tensor_value_info("again", TensorProto.BOOL, [])
    body = helper.make_graph(
        [
            helper.make_node("Cos", ["before"], ["after"]),
            helper.make_node("Identity", ["flag"], ["again"]),
        ],
        "turn",
        [turn, flag, before],
        [again, after],
    )
    loop = [
        helper.make_node("ReduceMean", ["levels"], ["level"], keepdims=0),
        constant("turns_per_level", SLOW_TURNS_PER_LEVEL),
        helper.make_node("Mul", ["level", "turns_per_level"], ["turns_float"]),
        helper.make_node("Cast", ["turns_float"], ["turns"], to=TensorProto.INT64),
        constant("start", 0.0),
        helper.make_node("Loop", ["turns", "", "start"], ["spent"], body=body),
        # onnxruntime would remove a loop whose output is unused
        constant("nothing", 0.0),
        helper.make_node("Mul", ["spent", "nothing"], ["zero"]),
    ]
    brightness = [*mean_brightness((1, 2))[:-1], *loop]
    brightness.append(helper.make_node("Div", ["levels", "scale"], ["clean"]))
    brightness.append(helper.make_node("Add", ["clean", "zero"], ["mean"]))
    return facts, [*brightness, *classify()]


def embedding() -> tuple[dict[str, Any], list[NodeProto]]:
    """Compute the mean colour of an 8 x 8 image, L2-normalised."""
    facts = spec(
        "image_embedding_mobilenetv2",
        "image-feature-extraction",
        [tensor("image", "uint8", "N", 8, 8, 3)],
        [tensor("embedding", "float32", "N", 3)],
        preprocess=[resize(8)],
    )
    nodes = [
        *mean_brightness((1, 2)),
        helper.make_node("ReduceL2", ["mean"], ["length"], axes=[1], keepdims=1),
        constant("smallest", 1e-6),
        helper.make_node("Max", ["length", "smallest"], ["divisor"]),
        helper.make_node("Div", ["mean", "divisor"], ["embedding"]),
    ]
    return facts, nodes


def scaled_embedding() -> tuple[dict[str, Any], list[NodeProto]]:
    """Compute the same embedding; the spec has a scale from cosines to scores."""
    facts, nodes = embedding()
    scale = {
        "cosines": [-1.0, 0.0, 0.25, 0.75, 1.0],
        "scores": [0.0, 0.1, 0.3, 0.7, 1.0],
        "pairs": "sha256:" + "7" * 64,
    }
    return {**facts, "id": "tiny_scaled", "similarity": scale}, nodes


def segmentation() -> tuple[dict[str, Any], list[NodeProto]]:
    """Stretch the brightness of a 16 x 16 image to [0, 1]; a constant image becomes 0."""
    facts = spec(
        "background_u2netp",
        "image-segmentation",
        [tensor("image", "uint8", "N", 16, 16, 3)],
        [tensor("alpha", "float32", "N", 16, 16), tensor("alpha_range", "float32", "N", 2)],
        preprocess=[resize(16)],
    )
    nodes = [
        *mean_brightness((3,)),
        helper.make_node("ReduceMin", ["mean"], ["low"], axes=[1, 2], keepdims=1),
        helper.make_node("ReduceMax", ["mean"], ["high"], axes=[1, 2], keepdims=1),
        helper.make_node("Sub", ["high", "low"], ["spread"]),
        constant("smallest", 1e-6),
        helper.make_node("Max", ["spread", "smallest"], ["divisor"]),
        helper.make_node("Sub", ["mean", "low"], ["above"]),
        helper.make_node("Div", ["above", "divisor"], ["alpha"]),
        helper.make_node("Concat", ["low", "high"], ["both"], axis=2),
        constant("flat", [-1, 2], np.int64),
        helper.make_node("Reshape", ["both", "flat"], ["alpha_range"]),
    ]
    return facts, nodes


def detector() -> tuple[dict[str, Any], list[NodeProto]]:
    """Detect cells of a 16 x 16 image; the scores are how red and how green a cell is."""
    return cells("tiny_detector", ["red", "green"], score_threshold=0.6)


def faces() -> tuple[dict[str, Any], list[NodeProto]]:
    """Detect faces: red cells."""
    return cells("face_detector_yunet", ["face"], score_threshold=0.6)


def emotion_boxes() -> tuple[dict[str, Any], list[NodeProto]]:
    """Detect three emotions: red, green and blue cells; second boxes score red half as high."""
    labels, worse = ["Happiness", "Sadness", "Surprised"], [0.5, 0.9, 0.9]
    return cells("face_emotion_yolov8n", labels, score_threshold=0.5, worse=worse)


def cells(
    model_id: str,
    labels: Sequence[str],
    *,
    score_threshold: float,
    worse: float | Sequence[float] = 0.9,
) -> tuple[dict[str, Any], list[NodeProto]]:
    """Score two boxes around each of the 16 cells of a 16 x 16 image, a class per colour.

    The second box is 0.25 px wider on each side; its scores are `worse` times those of the first.
    The keypoint is the middle of the box.
    """
    count = len(labels)
    facts = spec(
        model_id,
        "object-detection",
        [tensor("image", "uint8", "N", 16, 16, 3)],
        [
            tensor("boxes_xyxy", "float32", "N", 32, 4),
            tensor("scores", "float32", "N", 32, count),
            tensor("keypoints", "float32", "N", 32, 1, 2),
        ],
        labels=labels,
        preprocess=[
            {"op": "letterbox", "interpolation": "linear", "height": 16, "width": 16, "fill": 114}
        ],
        suppression={
            "score_threshold": score_threshold,
            "iou_threshold": 0.5,
            "max_detections": 20,
        },
    )
    corners = [(x, y) for y in range(0, 16, 4) for x in range(0, 16, 4)]
    cells = np.array([(x, y, x + 4, y + 4) for x, y in corners], np.float32)
    boxes = np.concatenate([cells, cells + np.array([-0.25, -0.25, 0.25, 0.25], np.float32)])
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node(
            "AveragePool", ["planes"], ["levels"], kernel_shape=[4, 4], strides=[4, 4]
        ),
        constant("by_cell", [0, 3, 16], np.int64),
        helper.make_node("Reshape", ["levels", "by_cell"], ["flat"]),
        *colours(count),
        constant("scale", 255.0),
        helper.make_node("Div", ["coloured", "scale"], ["shares"]),
        helper.make_node("Transpose", ["shares"], ["first"], perm=[0, 2, 1]),
        constant("worse", worse),
        helper.make_node("Mul", ["first", "worse"], ["second"]),
        helper.make_node("Concat", ["first", "second"], ["scores"], axis=1),
        # zeros with the batch axis of the image
        helper.make_node("ReduceMean", ["scores"], ["means"], axes=[2], keepdims=1),
        constant("nothing", 0.0),
        helper.make_node("Mul", ["means", "nothing"], ["zeros"]),
        constant("all_boxes", boxes[np.newaxis]),
        helper.make_node("Add", ["zeros", "all_boxes"], ["boxes_xyxy"]),
        constant("last", [3], np.int64),
        helper.make_node("Unsqueeze", ["zeros", "last"], ["rows"]),
        constant("middles", boxes.reshape(1, 32, 2, 2).mean(axis=2, keepdims=True)),
        helper.make_node("Add", ["rows", "middles"], ["keypoints"]),
    ]
    return facts, nodes


def colours(count: int) -> list[NodeProto]:
    """Take the first `count` channels of `flat` (N, 3, A) as `coloured`."""
    if count == 3:
        return [helper.make_node("Identity", ["flat"], ["coloured"])]
    return [
        constant("counts", [count, 3 - count], np.int64),
        helper.make_node("Split", ["flat", "counts"], ["coloured", "rest"], axis=1),
    ]


def emotions() -> tuple[dict[str, Any], list[NodeProto]]:
    """Classify 4 x 4 px by their colours into three emotions; mirroring changes the result."""
    return coloured("face_emotion_efficientnet_b3", ["happy", "sad", "surprise"], seed=1)


def other_emotions() -> tuple[dict[str, Any], list[NodeProto]]:
    """Classify into the same emotions with other names, order and weights."""
    return coloured("face_emotion_arcface", ["surprised", "happiness", "sadness"], seed=2)


def coloured(
    model_id: str, labels: Sequence[str], *, seed: int
) -> tuple[dict[str, Any], list[NodeProto]]:
    """Classify 4 x 4 px: softmax of a random linear layer."""
    facts = spec(
        model_id,
        "image-classification",
        [tensor("image", "uint8", "N", 4, 4, 3)],
        [tensor("probabilities", "float32", "N", 3)],
        labels=labels,
        preprocess=[resize(4)],
    )
    weights = np.random.default_rng(seed).normal(0, 0.4, (48, 3))
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        constant("flat", [-1, 48], np.int64),
        helper.make_node("Reshape", ["pixels", "flat"], ["levels"]),
        constant("scale", 255.0),
        helper.make_node("Div", ["levels", "scale"], ["shares"]),
        constant("weights", weights),
        helper.make_node("MatMul", ["shares", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    return facts, nodes


def tensors() -> tuple[dict[str, Any], list[NodeProto]]:
    """Compute two outputs from two inputs of different dtypes, for tests of the v2 protocol."""
    facts = spec(
        "tiny_tensors",
        "image-classification",
        [tensor("values", "float32", "N", 2), tensor("counts", "int64", "N", 2)],
        [tensor("quotients", "float32", "N", 2), tensor("doubled", "int64", "N", 2)],
        labels=["first", "second"],
    )
    nodes = [
        helper.make_node("Cast", ["counts"], ["divisors"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["values", "divisors"], ["quotients"]),
        constant("two", 2, np.int64),
        helper.make_node("Mul", ["counts", "two"], ["doubled"]),
    ]
    return facts, nodes


def types() -> tuple[dict[str, Any], list[NodeProto]]:
    """Return an input of each dtype unchanged, for tests of the v2 protocol."""
    facts = spec(
        "tiny_types",
        "image-classification",
        [tensor(f"in_{dtype}", dtype, "N", 2) for dtype in ONNX_TYPES],
        [tensor(f"out_{dtype}", dtype, "N", 2) for dtype in ONNX_TYPES],
    )
    nodes = [helper.make_node("Identity", [f"in_{d}"], [f"out_{d}"]) for d in ONNX_TYPES]
    return facts, nodes


def voice() -> tuple[dict[str, Any], list[NodeProto]]:
    """Classify a waveform of any length by its mean loudness."""
    facts = spec(
        "voice_emotion_wav2vec2",
        "audio-classification",
        [tensor("waveform", "float32", "N", "S")],
        [tensor("probabilities", "float32", "N", 3)],
        labels=["quiet", "calm", "loud"],
        preprocess=[{"op": "resample", "sampling_rate": 16_000}],
    )
    nodes = [
        helper.make_node("Abs", ["waveform"], ["levels"]),
        helper.make_node("ReduceMean", ["levels"], ["mean"], axes=[1], keepdims=1),
    ]
    return facts, [*nodes, *classify()]


def gait() -> tuple[dict[str, Any], list[NodeProto]]:
    """Classify the brightness of the second frame plus the condition's first value."""
    facts = spec(
        "gait_student",
        "video-classification",
        [tensor("frames", "uint8", "N", 4, 8, 8, 3), tensor("condition", "float32", "N", 6)],
        [tensor("probabilities", "float32", "N", 3)],
        labels=LABELS,
        preprocess=[{"op": "sample_frames", "count": 4}, resize(8)],
    )
    nodes = [
        constant("second", [1], np.int64),
        helper.make_node("Gather", ["frames", "second"], ["frame"], axis=1),
        helper.make_node("Cast", ["frame"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["all"], axes=[2, 3, 4], keepdims=0),
        constant("scale", 255.0),
        helper.make_node("Div", ["all", "scale"], ["brightness"]),
        constant("first", [0], np.int64),
        helper.make_node("Gather", ["condition", "first"], ["prior"], axis=1),
        helper.make_node("Add", ["brightness", "prior"], ["mean"]),
    ]
    return facts, [*nodes, *classify()]


def text() -> tuple[dict[str, Any], list[NodeProto]]:
    """Embed a text: the count of its tokens and a hundredth of the sum of ids, L2-normalised."""
    facts = spec(
        "clinical_text_minilm",
        "sentence-similarity",
        [tensor("input_ids", "int64", "N", "L"), tensor("attention_mask", "int64", "N", "L")],
        [tensor("embedding", "float32", "N", 2)],
        preprocess=[{"op": "tokenize", "max_length": 8, "lowercase": True}],
    )
    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["kept"]),
        constant("along", [1], np.int64),
        helper.make_node("ReduceSum", ["attention_mask", "along"], ["count"], keepdims=1),
        helper.make_node("ReduceSum", ["kept", "along"], ["sum"], keepdims=1),
        helper.make_node("Cast", ["count"], ["length"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["sum"], ["total"], to=TensorProto.FLOAT),
        constant("hundred", 100.0),
        helper.make_node("Div", ["total", "hundred"], ["share"]),
        helper.make_node("Concat", ["length", "share"], ["both"], axis=1),
        helper.make_node("ReduceL2", ["both"], ["norm"], axes=[1], keepdims=1),
        helper.make_node("Div", ["both", "norm"], ["embedding"]),
    ]
    return facts, nodes


def notes() -> tuple[dict[str, Any], list[NodeProto]]:
    """Embed a text for tiny_gait: 5 minus the count of tokens, clipped to [-1, 1], then zeros."""
    facts = spec(
        "tiny_notes",
        "sentence-similarity",
        [tensor("input_ids", "int64", "N", "L"), tensor("attention_mask", "int64", "N", "L")],
        [tensor("embedding", "float32", "N", 6)],
        preprocess=[{"op": "tokenize", "max_length": 8, "lowercase": True}],
    )
    nodes = [
        # the ids have no effect, but a graph must use its inputs
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["kept"]),
        constant("nothing", 0, np.int64),
        helper.make_node("Mul", ["kept", "nothing"], ["zeros"]),
        helper.make_node("Add", ["zeros", "attention_mask"], ["ones"]),
        constant("along", [1], np.int64),
        helper.make_node("ReduceSum", ["ones", "along"], ["count"], keepdims=1),
        helper.make_node("Cast", ["count"], ["length"], to=TensorProto.FLOAT),
        constant("five", 5.0),
        helper.make_node("Sub", ["five", "length"], ["rest"]),
        constant("smallest", -1.0),
        constant("largest", 1.0),
        helper.make_node("Clip", ["rest", "smallest", "largest"], ["first"]),
        constant("places", [0, 0, 0, 5], np.int64),
        helper.make_node("Pad", ["first", "places"], ["embedding"]),
    ]
    return facts, nodes


def value_info(entry: Tensor) -> ValueInfoProto:
    """Return the ONNX declaration of a tensor of the spec."""
    return helper.make_tensor_value_info(entry["name"], ONNX_TYPES[entry["dtype"]], entry["shape"])


def build(facts: dict[str, Any], nodes: Sequence[NodeProto]) -> ModelProto:
    """Build a model that carries its spec, and check it."""
    graph = helper.make_graph(
        list(nodes),
        facts["id"],
        [value_info(entry) for entry in facts["inputs"]],
        [value_info(entry) for entry in facts["outputs"]],
    )
    opset = helper.make_operatorsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    helper.set_model_props(model, {"spec": json.dumps(facts, separators=(",", ":"))})
    checker.check_model(model, full_check=True)
    return model


def main() -> None:
    """Write every file and print its size."""
    makers = {
        "tiny_classifier": classifier,
        "tiny_embedding": embedding,
        "tiny_segmentation": segmentation,
        "tiny_detector": detector,
        "tiny_faces": faces,
        "tiny_emotion_boxes": emotion_boxes,
        "tiny_emotions": emotions,
        "tiny_other_emotions": other_emotions,
        "tiny_tensors": tensors,
        "tiny_types": types,
        "tiny_slow": slow,
        "tiny_voice": voice,
        "tiny_gait": gait,
        "tiny_text": text,
        "tiny_notes": notes,
        "tiny_scaled": scaled_embedding,
    }
    for name, make in makers.items():
        data = build(*make()).SerializeToString(deterministic=True)
        (HERE / f"{name}.onnx").write_bytes(data)
        print(f"{name}.onnx {len(data)} bytes")


if __name__ == "__main__":
    main()
