"""YuNet face detector: from upstream's ONNX files, or its state_dict.

Served in float: INT8 is only 1.0 to 1.2 times as fast, and synthetic images hold no faces that
would show its cost. An INT8 graph that was perfect on synthetic images found none of the boxes of
ten photos again (box_recall; 0.81 with drawn faces). Calibrated with 128 photos of faces, no INT8
graph keeps the tolerance.

The input is as large as the file's, or SIDE if the file leaves the size open. Of 85 faces that ten
photos show at 1280 px, 640 px finds all and one false one in 7 ms at one thread, 480 px the same in
3.9 ms, 320 px finds 84 and five false ones in 1.6 ms.

Source: ShiqiYu/libfacedetection.train (network; levels of 0 to 255 in BGR, padding with zeros);
OpenCV's FaceDetectorYN (decoding), whose zoo distributes the same twelve outputs.
"""

from pathlib import Path
from typing import Any

from convert.authoring import (
    CheckpointError,
    Faces,
    ImageInput,
    Letterbox,
    Loaded,
    Network,
    NmsConfig,
    OnnxNetwork,
    Recipe,
    Source,
    Tolerance,
    TorchNetwork,
    detect_kind,
    load_strictly,
    read_state_dict,
    sample_input,
    seed_torch,
)

SIDE = 640  # px
COARSEST_STRIDE = 32  # px: both sides of an input are multiples of it
OUTPUTS = tuple(
    f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)
)


def _load(path: Path) -> Loaded:
    if detect_kind(path) == "onnx":
        return _load_onnx(path)
    module = _build()
    load_strictly(module, read_state_dict(path), path=path)
    return _loaded_model(_torch_network(module), SIDE, SIDE)


def _load_onnx(path: Path) -> Loaded:
    network = OnnxNetwork(path, outputs=OUTPUTS)
    channels, *sides = network.input_shape
    height, width = (side or SIDE for side in sides)
    if channels != 3 or height % COARSEST_STRIDE or width % COARSEST_STRIDE:
        needed = f"(3, height, width), both multiples of {COARSEST_STRIDE} px"
        raise CheckpointError(f"{path}: takes {network.input_shape}; needed: {needed}")
    return _loaded_model(network, height, width)


def _seed() -> Loaded:
    from convert.architectures.yunet import HEAD_WEIGHTS

    module = _build()
    loaded = _loaded_model(_torch_network(module), SIDE, SIDE)
    seed_torch(module, sample_input(loaded, media="scene"), residual_norms=HEAD_WEIGHTS)
    return loaded


def _build() -> Any:
    from convert.architectures.yunet import YuNet

    return YuNet()


def _torch_network(module: Any) -> Network:
    return TorchNetwork(module, input_shape=(3, SIDE, SIDE), outputs=len(OUTPUTS))


def _loaded_model(network: Network, height: int, width: int) -> Loaded:
    return Loaded(
        network=network,
        input=ImageInput(
            height, width, 3, mean=(0.0,) * 3, std=(1.0,) * 3, divisor="1", channel_order="BGR"
        ),
        head=Faces(height, width),
        # small photos are enlarged: of 81 faces in group photos of 160 px all are found, without
        # enlarging 27
        preprocess=(
            Letterbox(height=height, width=width, interpolation="linear", fill=0, align="top_left"),
        ),
        labels=("face",),
        # of 191 pictures that a face fills it finds 190, and 178 at a threshold of 0.7; at
        # OpenCV's default of 0.9 it finds almost none
        suppression=NmsConfig(score_threshold=0.6, iou_threshold=0.3, max_detections=750),
    )


RECIPE = Recipe(
    task="object-detection",
    description="Faces of a photo, each with a box and five points (YuNet, 76 thousand weights)",
    licence="Apache-2.0",
    load=_load,
    seed=_seed,
    tolerance=Tolerance(at_least={"box_recall": 0.99, "box_iou_mean": 0.99}),
    media="scene",
    precision="float",
    source=Source(
        "https://raw.githubusercontent.com/ShiqiYu/libfacedetection.train/"
        "0047ac24afb1a50a0c6105001c89d1b5b805dbf1/onnx/yunet_n_640_640.onnx",
        sha256="25a606a145a5b6d7271ae138fbd00eba91dad8b83222ae3f2c7ecd0f4a7b0e31",
        size_bytes=317_466,
        licence="Apache-2.0",
    ),
)
