"""The known architecture whose keys a state_dict resembles most: advice at the end of a refusal."""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from convert.architectures.efficientnet import EfficientNet
from convert.architectures.efficientnet_keys import SIZES, in_our_layout
from convert.architectures.iresnet import LAYERS, IResNet
from convert.architectures.mobilefacenet import MobileFaceNet, PReluMobileFaceNet
from convert.architectures.mobilenetv2 import MobileNetV2
from convert.architectures.resnet import ResNet50
from convert.architectures.u2net import u2net, u2netp
from convert.architectures.yolo11 import Yolo11
from convert.architectures.yolo11_plan import SIZES as YOLO11_SIZES
from convert.architectures.yolo11_plan import plan as yolo11_plan
from convert.architectures.yolov8 import YoloV8
from convert.architectures.yolov8_plan import SIZES as YOLOV8_SIZES
from convert.architectures.yolov8_plan import plan as yolov8_plan
from convert.architectures.yunet import YuNet
from convert.checkpoint.keys import strip_prefix

Shapes = Mapping[str, tuple[int, ...]]
Candidates = Sequence[tuple["Architecture", Shapes]]

# 1: the same names and shapes; a family's neighbours (ResNet-101 for ResNet-50) stay below
LEAST_SIMILARITY = 0.6
OWN_RECIPE = "If it is another network, write a recipe of your own (convert/README.md)"


@dataclass(frozen=True, slots=True)
class Architecture:
    """One network, and the model that converts its checkpoints."""

    name: str
    model: str
    build: Callable[[], Any]  # returns a torch.nn.Module
    to_our_layout: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict  # renames keys


def architectures() -> tuple[Architecture, ...]:
    """Return every known architecture; none is built yet."""
    efficientnets = (
        Architecture(
            size.name, "face_emotion_efficientnet_b3", partial(EfficientNet, size), in_our_layout
        )
        for size in SIZES
    )
    iresnets = (
        Architecture(f"iresnet{depth}", "face_emotion_arcface", partial(IResNet, layers))
        for depth, layers in LAYERS.items()
    )
    yolov8s = (
        Architecture(
            f"yolov8{size}",
            "face_emotion_yolov8n",
            partial(YoloV8, yolov8_plan(size, class_count=80), height=64, width=64),
        )
        for size in YOLOV8_SIZES
    )
    yolo11s = (
        Architecture(
            f"yolo11{size}",
            "face_emotion_yolo11n",
            partial(Yolo11, yolo11_plan(size, class_count=80), height=64, width=64),
        )
        for size in YOLO11_SIZES
    )
    return (
        *efficientnets,
        *iresnets,
        *yolov8s,
        *yolo11s,
        Architecture("mobilefacenet (foamliu)", "face_emotion_arcface", MobileFaceNet),
        Architecture(
            "mobilefacenet (InsightFace_Pytorch)", "face_emotion_arcface", PReluMobileFaceNet
        ),
        Architecture("mobilenet_v2", "image_embedding_mobilenetv2", MobileNetV2),
        Architecture("resnet50", "image_embedding_resnet50", ResNet50),
        Architecture("u2net", "background_u2net", u2net),
        Architecture("u2netp", "background_u2netp", u2netp),
        Architecture("yunet_n", "face_detector_yunet", YuNet),
    )


def advice(state: Mapping[str, Any], *, path: Path, expected: Mapping[str, Any]) -> str:
    """Return the sentence that ends a refusal: which model converts this checkpoint.

    Args:
        state: tensors by name, from the checkpoint.
        path: the checkpoint.
        expected: the state_dict that the model needs.

    Returns:
        For a checkpoint that resembles no known architecture, or the expected one: to write a
        recipe. "" if the expected one is of a user's own recipe.
    """
    candidates = shapes_of(architectures())
    architecture, own = nearest(state, candidates), nearest(expected, candidates)
    if own is None and architecture is None:
        return ""
    return way_out(None if architecture is own else architecture, path=path)


def way_out(architecture: Architecture | None, *, path: Path) -> str:
    """Return the sentence that names the model of an architecture; None: a recipe of one's own."""
    if architecture is None:
        return f". {OWN_RECIPE}"
    return (
        f". These look like the keys of {architecture.name}: "
        f"`python -m convert run {architecture.model} --checkpoint {shlex.quote(str(path))}`"
    )


def nearest(state: Mapping[str, Any], candidates: Candidates) -> Architecture | None:
    """Return the architecture with which a state_dict shares most keys and shapes.

    Args:
        state: tensors by name; a prefix common to all names does not lower the similarity.
        candidates: the return value of `shapes_of`.

    Returns:
        None if the similarity to each is below LEAST_SIMILARITY.
    """
    scores = [(_similarity(state, item, shapes), item) for item, shapes in candidates]
    score, architecture = max(scores, key=lambda pair: pair[0])
    return architecture if score >= LEAST_SIMILARITY else None


def shapes_of(items: Iterable[Architecture]) -> Candidates:
    """Return names and shapes of the tensors of each architecture.

    Building them without their memory takes half a second for all.
    """
    with torch.device("meta"):
        return [(item, _shapes(item.build().state_dict())) for item in items]


def _similarity(state: Mapping[str, Any], architecture: Architecture, needed: Shapes) -> float:
    """Return the share of names in common, in [0, 1], halved if no shape agrees."""
    own = strip_prefix(architecture.to_our_layout(state), min(needed))
    shapes = _shapes(architecture.to_our_layout(own))
    common = shapes.keys() & needed.keys()
    if not common:
        return 0.0
    names_share = len(common) / len(shapes.keys() | needed.keys())
    shapes_share = sum(shapes[name] == needed[name] for name in common) / len(common)
    return names_share * (1 + shapes_share) / 2


def _shapes(state: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {
        key: tuple(tensor.shape)
        for key, tensor in state.items()
        if "num_batches_tracked" not in key
    }
