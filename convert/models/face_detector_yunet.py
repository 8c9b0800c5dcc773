"""YuNet face detector: from upstream's ONNX files, or its state_dict.

Served in float: INT8 is 1.0 to 1.2 times as fast, and drawings hold no faces to see what it costs.
Judged perfect on drawings, it found again none of the boxes of ten photos (box_recall; 0.81 with
drawn faces). With 128 photos of faces no INT8 graph keeps the tolerance.

The input is as large as the file's, SIDE where the file leaves that open. Of 85 faces that ten
photos show at 1280 px, 640 px finds all and one false one in 7 ms at one thread, 480 px the same in
3.9 ms, 320 px 84 and five false ones in 1.6 ms.

Source: ShiqiYu/libfacedetection.train (network; levels of 0 to 255 in BGR, padding with zeros);
OpenCV's FaceDetectorYN (decoding), whose zoo distributes the same twelve outputs.
"""

from pathlib import Path
from typing import Any

from convert.checkpoint import load_strictly, read_state_dict, sniff
from convert.errors import CheckpointError
from convert.export.frameworks import Network
from convert.export.frameworks.onnx_graph import OnnxNetwork
from convert.export.frameworks.torch_module import TorchNetwork
from convert.export.numerics import Faces, ImageInput
from convert.recipe import Loaded, Recipe, Tolerance
from convert.sources import Source
from convert.weights.seeded import sample_input, seed_torch
from runtime.artifact.manifest import Letterbox, NmsConfig

SIDE = 640  # px
STEP = 32  # px: the stride of the coarsest map
OUTPUTS = tuple(
    f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)
)


def _load(path: Path) -> Loaded:
    if sniff(path) == "onnx":
        return _from_onnx(path)
    module = _module()
    load_strictly(module, read_state_dict(path), path=path)
    return _around(_torch(module), SIDE, SIDE)


def _from_onnx(path: Path) -> Loaded:
    network = OnnxNetwork(path, outputs=OUTPUTS)
    channels, *sides = network.input_shape
    height, width = (side or SIDE for side in sides)
    if channels != 3 or height % STEP or width % STEP:
        needed = f"(3, height, width), both multiples of {STEP} px"
        raise CheckpointError(f"{path}: takes {network.input_shape}; needed: {needed}")
    return _around(network, height, width)


def _seed() -> Loaded:
    from convert.architectures.yunet import HEAD_WEIGHTS

    module = _module()
    loaded = _around(_torch(module), SIDE, SIDE)
    seed_torch(module, sample_input(loaded, media="scene"), residual_norms=HEAD_WEIGHTS)
    return loaded


def _module() -> Any:
    from convert.architectures.yunet import YuNet

    return YuNet()


def _torch(module: Any) -> Network:
    return TorchNetwork(module, input_shape=(3, SIDE, SIDE), outputs=len(OUTPUTS))


def _around(network: Network, height: int, width: int) -> Loaded:
    return Loaded(
        network=network,
        input=ImageInput(
            height, width, 3, mean=(0.0,) * 3, std=(1.0,) * 3, divisor="1", channel_order="BGR"
        ),
        head=Faces(height, width),
        # enlarged: of 81 faces in group photos of 160 px all are found, and 27 where they are not
        preprocess=(
            Letterbox(height=height, width=width, interpolation="linear", fill=0, align="top_left"),
        ),
        labels=("face",),
        # of 191 pictures that a face fills it finds 190, and 178 at a threshold of 0.7; OpenCV's
        # default of 0.9 finds next to none
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
