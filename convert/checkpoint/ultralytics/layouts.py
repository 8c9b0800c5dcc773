"""The facts that tell YOLOv8 and YOLO11 from their relatives, beside the shapes of tensors.

Source: ultralytics 8 `cfg/models/v8/yolov8.yaml` and `cfg/models/11/yolo11.yaml`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Network = Literal["yolov8", "yolo11"]


@dataclass(frozen=True, slots=True)
class Layout:
    """One network, as its records describe it."""

    name: str
    yaml: str
    recipe: str  # the model that converts it
    layers: tuple[str, ...]  # classes of the layers, in their order
    sources: Mapping[int, list[int]]  # layers whose maps a layer takes; -1: the one before
    strided: re.Pattern[str]  # layers that halve the map; no other does
    residual: re.Pattern[str]  # bottlenecks that add their input; no other does
    linear: re.Pattern[str]  # convolutions without activation; all others have SiLU


NO_LAYER = re.compile(r"(?!)")
LAYOUTS: Mapping[Network, Layout] = {
    "yolov8": Layout(
        name="YOLOv8 detection",
        yaml="yolov8.yaml",
        recipe="face_emotion_yolov8n",
        layers=(
            "Conv", "Conv", "C2f", "Conv", "C2f", "Conv", "C2f", "Conv", "C2f", "SPPF",
            "Upsample", "Concat", "C2f", "Upsample", "Concat", "C2f",
            "Conv", "Concat", "C2f", "Conv", "Concat", "C2f", "Detect",
        ),
        sources={11: [-1, 6], 14: [-1, 4], 17: [-1, 12], 20: [-1, 9], 22: [15, 18, 21]},
        strided=re.compile(r"model\.(?:[01357]|16|19)\.conv"),
        residual=re.compile(r"model\.[2468]\.m\.\d+"),
        linear=NO_LAYER,
    ),
    "yolo11": Layout(
        name="YOLO11 detection",
        yaml="yolo11.yaml",
        recipe="face_emotion_yolo11n",
        layers=(
            "Conv", "Conv", "C3k2", "Conv", "C3k2", "Conv", "C3k2", "Conv", "C3k2", "SPPF", "C2PSA",
            "Upsample", "Concat", "C3k2", "Upsample", "Concat", "C3k2",
            "Conv", "Concat", "C3k2", "Conv", "Concat", "C3k2", "Detect",
        ),
        sources={12: [-1, 6], 15: [-1, 4], 18: [-1, 13], 21: [-1, 10], 23: [16, 19, 22]},
        strided=re.compile(r"model\.(?:[01357]|17|20)\.conv"),
        residual=re.compile(r".*"),
        linear=re.compile(r"model\.10\.m\.\d+\.(?:attn\.(?:qkv|proj|pe)|ffn\.1)"),
    ),
}  # fmt: skip
