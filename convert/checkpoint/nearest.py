"""Which architecture a state_dict belongs to, by its keys: for refusals that say where to go."""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

Shapes = Mapping[str, tuple[int, ...]]
Candidates = Sequence[tuple["Architecture", Shapes]]

# 1: the same names and shapes; a family's neighbours (ResNet-101 for ResNet-50) stay below
LEAST_SIMILARITY = 0.6


@dataclass(frozen=True, slots=True)
class Architecture:
    """One network, and the model that is converted from its checkpoints."""

    name: str
    model: str
    build: Callable[[], Any]  # gives a torch.nn.Module
    renamed: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict  # to our layout of keys


def known() -> tuple[Architecture, ...]:
    """Every architecture, none of them built."""
    from convert.architectures.efficientnet import EfficientNet
    from convert.architectures.efficientnet_keys import SIZES, in_our_layout
    from convert.architectures.iresnet import LAYERS, IResNet
    from convert.architectures.mobilefacenet import MobileFaceNet, PReluMobileFaceNet
    from convert.architectures.mobilenetv2 import MobileNetV2
    from convert.architectures.resnet import ResNet50
    from convert.architectures.u2net import u2net, u2netp
    from convert.architectures.yolov8 import YoloV8
    from convert.architectures.yolov8_plan import SIZES as YOLO_SIZES
    from convert.architectures.yolov8_plan import plan
    from convert.architectures.yunet import YuNet

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
    yolos = (
        Architecture(
            f"yolov8{size}",
            "face_emotion_yolov8n",
            partial(YoloV8, plan(size, class_count=80), height=64, width=64),
        )
        for size in YOLO_SIZES
    )
    return (
        *efficientnets,
        *iresnets,
        *yolos,
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


def advice(state: Mapping[str, Any], *, path: Path, instead_of: Mapping[str, Any]) -> str:
    """The sentence that ends a refusal: what to convert this checkpoint as; "" where unknown.

    Args:
        state: tensors by name, as the checkpoint has them.
        path: of the checkpoint.
        instead_of: the state_dict that was needed. Where both are nearest to one architecture, the
            checkpoint is a damaged or changed one of the kind wanted, and there is no other place.
    """
    candidates = shapes_of(known())
    found = nearest(state, candidates)
    if found is None or found is nearest(instead_of, candidates):
        return ""
    return (
        f". These look like the keys of {found.name}: "
        f"`python -m convert run {found.model} --checkpoint {shlex.quote(str(path))}`"
    )


def nearest(state: Mapping[str, Any], candidates: Candidates) -> Architecture | None:
    """The architecture whose keys and shapes a state_dict shares most; None where few are shared.

    Args:
        state: tensors by name; a prefix common to them is not held against them.
        candidates: what `shapes_of` gave.
    """
    scores = [(_similarity(state, each, shapes), each) for each, shapes in candidates]
    score, found = max(scores, key=lambda pair: pair[0])
    return found if score >= LEAST_SIMILARITY else None


def shapes_of(architectures: Iterable[Architecture]) -> Candidates:
    """Names and shapes of each one's tensors, without their memory: half a second for all."""
    import torch

    with torch.device("meta"):
        return [(each, _shapes(each.build().state_dict())) for each in architectures]


def _similarity(state: Mapping[str, Any], architecture: Architecture, needed: Shapes) -> float:
    """Share of names in common, halved where no shape agrees."""
    from convert.checkpoint.keys import strip_prefix

    bare = strip_prefix(architecture.renamed(state), min(needed))
    given = _shapes(architecture.renamed(bare))
    common = given.keys() & needed.keys()
    if not common:
        return 0.0
    names = len(common) / len(given.keys() | needed.keys())
    shapes = sum(given[name] == needed[name] for name in common) / len(common)
    return names * (1 + shapes) / 2


def _shapes(state: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {
        key: tuple(tensor.shape)
        for key, tensor in state.items()
        if "num_batches_tracked" not in key
    }
