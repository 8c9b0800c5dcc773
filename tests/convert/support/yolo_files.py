"""Checkpoints as ultralytics saves them, made from our own network under its classes' names.

The classes exist while a file is saved, and no longer: reading must not need them.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from torch import nn  # noqa: TID253 - in a process without TensorFlow

from convert.architectures import yolo11, yolo11_plan
from convert.architectures.yolo_layers import Yolo
from convert.architectures.yolov8 import RESIDUAL_NORMS, YoloV8
from convert.architectures.yolov8_plan import Plan, plan
from convert.samples.procedural import SAMPLES, generate_images
from convert.weights.seeded import seed_torch
from runtime.artifact.manifest import Letterbox
from runtime.media.images.preprocess import preprocess
from tests.convert.support.checkpoint_files import saved

PACKAGE = "ultralytics.nn.modules"
# our class: upstream's
NAMES = {
    "YoloV8": "ultralytics.nn.tasks.DetectionModel",
    "Yolo11": "ultralytics.nn.tasks.DetectionModel",
    "Conv": f"{PACKAGE}.conv.Conv",
    "DepthwiseConv": f"{PACKAGE}.conv.DWConv",
    "C2f": f"{PACKAGE}.block.C2f",
    "C3k2": f"{PACKAGE}.block.C3k2",
    "C3k": f"{PACKAGE}.block.C3k",
    "C2psa": f"{PACKAGE}.block.C2PSA",
    "AttentionBlock": f"{PACKAGE}.block.PSABlock",
    "Attention": f"{PACKAGE}.block.Attention",
    "Bottleneck": f"{PACKAGE}.block.Bottleneck",
    "Pooling": f"{PACKAGE}.block.SPPF",
    "Detect": f"{PACKAGE}.head.Detect",
}
CLASSES = ("angry", "happy", "sad")
TINY = Plan(
    channels=(8, 16, 16, 24, 40), depths=(1, 2), class_count=3, box_width=64, class_width=16
)


TINY11 = yolo11_plan.Plan(
    channels=(8, 16, 16, 24, 40),
    depth=1,
    nested=frozenset((6, 8, 22)),
    class_count=3,
    box_width=64,
    class_width=16,
)


def network(size: Plan = TINY, *, side: int = 64) -> YoloV8:
    """Build a YOLOv8 with deterministic weights that make answers differ."""
    module = YoloV8(size, height=side, width=side)
    _seed(module, side, RESIDUAL_NORMS)
    return module


def network11(size: yolo11_plan.Plan = TINY11, *, side: int = 64) -> yolo11.Yolo11:
    """Build a YOLO11 with deterministic weights that make answers differ."""
    module = yolo11.Yolo11(size, height=side, width=side)
    _seed(module, side, yolo11.residual_norms(module))
    return module


def _seed(module: Yolo, side: int, residual_norms: tuple[str, ...]) -> None:
    letterbox = (Letterbox(height=side, width=side, interpolation="linear"),)
    pictures = np.stack(
        [preprocess(image, letterbox) for image in generate_images("scene", SAMPLES, 8)]
    )
    samples = (pictures.transpose(0, 3, 1, 2) / np.float32(255)).astype(np.float32)
    seed_torch(module, (samples,), residual_norms=residual_norms)
    # a channel that hardly varies in a few cells of eight pictures would amplify rounding as well
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d) and part.running_var is not None:
            part.running_var.clamp_(min=0.5)


def sized(name: str, *, class_count: int = 7, side: int = 64) -> YoloV8:
    return network(plan(name, class_count=class_count), side=side)


def upstreams(module: Yolo, **settings: Any) -> Any:
    """Return the same tensors as modules of ultralytics' classes, with `settings` as attributes."""
    copy = _copied(deepcopy(module), "")
    layers: dict[str, Any] = dict(copy.model.named_children())
    last = module.last  # of the backbone; four concatenations follow at these distances
    for step in (1, 4):
        layers[str(last + step)] = nn.Upsample(scale_factor=2.0, mode="nearest")
    for step, source in ((2, 6), (5, 4), (8, last + 3), (11, last)):
        layers[str(last + step)] = _class(f"{PACKAGE}.conv.Concat")()
        layers[str(last + step)].f = [-1, source]
    layers[str(last + 13)].f = [last + 6, last + 9, last + 12]
    copy.model = nn.Sequential()
    for index in range(last + 14):
        copy.model.add_module(str(index), layers[str(index)])
    usual = {
        "yaml": {"nc": 3, "yaml_file": "yolov8n.yaml" if last == 9 else "yolo11n.yaml"},
        "names": dict(enumerate(CLASSES)),
        "args": {"imgsz": 64},
    }
    for name, value in (usual | settings).items():
        setattr(copy, name, value)
    return copy.eval()


def write(path: Path, root: Any, **options: Any) -> Path:
    """Save with torch.save while upstream's classes are importable."""
    modules = root.values() if isinstance(root, Mapping) else [root]
    with _importable([type(part) for module in modules for part in _parts(module)]):
        path.write_bytes(saved(root, **options))
    return path


def write_best(path: Path, module: Yolo, **settings: Any) -> Path:
    """Write `best.pt` as training does: half precision, no average, and the settings."""
    root = {
        "date": "2026-11-20",
        "version": "8.4.190",
        "license": "AGPL-3.0 License",
        "epoch": -1,
        "best_fitness": None,
        "model": upstreams(module, **settings).half(),
        "ema": None,
        "optimizer": None,
        "train_args": {},
    }
    return write(path, root)


def _parts(value: Any) -> Iterator[nn.Module]:
    if isinstance(value, nn.Module):
        yield from value.modules()


def _copied(module: Any, name: str) -> Any:
    kind = type(module).__name__
    if isinstance(module, nn.Sequential | nn.ModuleList):
        copy: Any = type(module)()
    elif kind == "ModuleDict":
        copy = _class(f"{PACKAGE}.block.DFL")() if name == "dfl" else nn.Sequential()
    elif kind == "Expectation":
        copy = nn.Conv2d(module.weight.shape[1], 1, 1, bias=False)
        copy.weight = nn.Parameter(module.weight, requires_grad=False)
    elif kind in NAMES:
        copy = _class(NAMES[kind])()
    else:
        return module  # torch's own
    for key, child in module.named_children():
        copy.add_module(key, _copied(child, key))
    if kind == "Bottleneck":
        copy.add = module.residual
    if kind == "AttentionBlock":
        copy.add = True
    if kind == "Attention":
        copy.num_heads, copy.head_dim, copy.key_dim = module.by_head[1], module.width, module.key
        copy.scale = module.key**-0.5
    return copy


@cache
def _class(full_name: str) -> type[nn.Module]:
    module, _, name = full_name.rpartition(".")
    return type(name, (nn.Module,), {"__module__": module})


@contextmanager
def _importable(classes: list[type]) -> Iterator[None]:
    """Make the classes importable under their names."""
    added: list[str] = []
    try:
        for cls in classes:
            if not cls.__module__.startswith(("ultralytics", "models")):
                continue
            path = cls.__module__.split(".")
            for end in range(1, len(path) + 1):
                name = ".".join(path[:end])
                if name not in sys.modules:
                    sys.modules[name] = ModuleType(name)
                    added.append(name)
            setattr(sys.modules[cls.__module__], cls.__name__, cls)
        yield
    finally:
        for name in added:
            del sys.modules[name]
