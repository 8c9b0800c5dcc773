"""YOLOv8 checkpoints of ultralytics: a pickled module graph with its settings, or a state_dict.

`convert.checkpoint.unpickle` reads the graph without running anything. Shapes do not tell the
activation of the pooling block, epsilon and shortcuts: this module reads them from the graph, and
refuses values that YOLOv8 does not have. A state_dict that its owner saved has no settings.

Source: ultralytics 8 `engine/trainer.py` (`save_model`), `nn/tasks.py` and `utils/torch_utils.py`
(`strip_optimizer`): the average `ema` before `model`.
"""

import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.checkpoint import unpickle
from convert.checkpoint.class_names import labels_in
from convert.checkpoint.labels import ordered_labels
from convert.checkpoint.torch_file import read_checkpoint, state_dict_in
from convert.checkpoint.unpickle import Record, mapping
from convert.errors import CheckpointError, LabelsError

MODEL_CLASS = "ultralytics.nn.tasks.DetectionModel"
LAYERS = (
    "Conv", "Conv", "C2f", "Conv", "C2f", "Conv", "C2f", "Conv", "C2f", "SPPF",
    "Upsample", "Concat", "C2f", "Upsample", "Concat", "C2f",
    "Conv", "Concat", "C2f", "Conv", "Concat", "C2f", "Detect",
)  # fmt: skip
# bottlenecks that add their input: those of the backbone
RESIDUAL = re.compile(r"model\.[2468]\.m\.\d+")
POOL_ENTRY = "model.9.cv1"
MAX_WRAPPERS = 4
ALLOWED_SIDES = range(32, 2049, 32)  # px
# a key that only the named network has, of the same makers
OTHER_NETWORKS = (
    ("model.22.proto.cv1.conv.weight", "YOLOv8 segmentation"),
    ("model.22.cv4.0.0.conv.weight", "YOLOv8 pose or oriented boxes"),
    ("model.9.linear.weight", "YOLOv8 classification"),
    ("model.24.m.0.weight", "YOLOv5"),
    ("model.24.cv2.0.0.conv.weight", "YOLOv5u"),
    ("model.23.one2one_cv2.0.0.conv.weight", "YOLOv10 or YOLO26"),
    ("model.23.cv2.0.0.conv.weight", "YOLO11 or later"),
)

OWN_RECIPE = "or a recipe of your own for another network (convert/README.md)"


@dataclass(frozen=True, slots=True)
class UltralyticsCheckpoint:
    """The weights of a YOLOv8 and the facts that its file states."""

    state: Mapping[str, Any]  # torch tensors by ultralytics' names, BatchNorm not folded
    labels: tuple[str, ...]  # (): the file names no classes
    side: int | None  # px of the input in training; None: the file does not say
    licence: str | None  # None: the file does not say
    pool_activation: bool = True
    epsilon: float = 1e-3


def read_ultralytics(path: Path) -> UltralyticsCheckpoint:
    """Read a .pt file of ultralytics, or a state_dict of the same network.

    Raises:
        CheckpointError: the file is no torch or safetensors file, is damaged, names classes that
            are no part of a checkpoint, or holds another network than YOLOv8 for detection.
    """
    file = unpickle.read(path) if zipfile.is_zipfile(path) else None
    module = _network(file.root) if file else None
    settings = (mapping(file.root) if file else None) or {}
    if file is None or module is None:
        return _read_state_dict(path, settings)
    _check_layers(path, module)
    parts = dict(unpickle.modules(file, module))
    epsilon = _epsilon(path, parts)
    state = _unfold(unpickle.state_dict(file, module), epsilon=epsilon)
    return UltralyticsCheckpoint(
        state=state,
        labels=_labels(path, module.state.get("names")),
        side=_side(settings.get("train_args"), module.state.get("args")),
        licence=_licence(settings.get("license")),
        pool_activation=_pool_activation(path, parts),
        epsilon=epsilon,
    )


def _read_state_dict(path: Path, settings: Mapping[Any, Any]) -> UltralyticsCheckpoint:
    checkpoint = read_checkpoint(path)
    state = _unfold(_with_our_prefix(state_dict_in(checkpoint, path=path)))
    for key, name in OTHER_NETWORKS:
        if key in state:
            raise CheckpointError(f"{path}: {name}; needed: YOLOv8 detection, {OWN_RECIPE}")
    return UltralyticsCheckpoint(
        state=state,
        labels=labels_in(checkpoint, path=path),
        side=_side(settings.get("train_args")),
        licence=_licence(settings.get("license")),
    )


def _with_our_prefix(state: Mapping[str, Any]) -> dict[str, Any]:
    """Rename `0.conv` and `model.model.0.conv` to `model.0.conv`, as ultralytics does."""
    return {re.sub(r"^(?:(?:module|model)\.)*(?=\d+\.)", "model.", k): v for k, v in state.items()}


def _unfold(state: Mapping[str, Any], *, epsilon: float = 1e-3) -> dict[str, Any]:
    """Write the biases of a network saved after `fuse()` as an equivalent batch normalisation."""
    import torch

    unfolded: dict[str, Any] = {}
    for name, value in state.items():
        layer = name.removesuffix("conv.bias")
        if layer == name or f"{layer}bn.weight" in state:
            unfolded[name] = value
            continue
        one = torch.ones_like(value)
        unfolded |= {f"{layer}bn.weight": one, f"{layer}bn.bias": value}
        unfolded |= {f"{layer}bn.running_mean": 0 * one, f"{layer}bn.running_var": one - epsilon}
    return unfolded


def _network(root: Any) -> Record | None:
    """Return the module graph of `ema`, else of `model`, else the root itself; None: no graph."""
    settings = mapping(root) or {}
    for candidate in (settings.get("ema"), settings.get("model"), root):
        if unpickle.is_module(candidate):
            return _unwrap(candidate)
    return None


def _unwrap(module: Record) -> Record:
    """Return the network inside ultralytics' YOLO object and torch's DataParallel."""
    for _ in range(MAX_WRAPPERS):
        inside = mapping(module.state["_modules"]) or {}
        inner = inside.get("module", inside.get("model"))
        if "yaml" in module.state or not unpickle.is_module(inner):
            break
        module = inner
    return module


def _check_layers(path: Path, module: Record) -> None:
    inside = mapping(module.state["_modules"]) or {}
    children = inside.get("model")
    by_index = mapping(children.state["_modules"]) if unpickle.is_module(children) else None
    layers = tuple(_class_name(layer) for layer in (by_index or {}).values())
    if module.class_name == MODEL_CLASS and layers == LAYERS:
        return
    yaml_file = (mapping(module.state.get("yaml")) or {}).get("yaml_file")
    of = f" of {yaml_file[:60]!r}" if isinstance(yaml_file, str) else ""
    other = sorted({name for name in layers if name not in LAYERS}) or [f"{len(layers)} layers"]
    raise CheckpointError(
        f"{path}: holds {module.class_name[:80]!r}{of} with {', '.join(other)[:200]}; "
        f"needed: {MODEL_CLASS} of yolov8.yaml, {len(LAYERS)} layers of "
        f"{', '.join(sorted(set(LAYERS)))}, {OWN_RECIPE}"
    )


def _epsilon(path: Path, parts: Mapping[str, Record]) -> float:
    norms = [part for part in parts.values() if _class_name(part) == "BatchNorm2d"]
    values = [norm.state.get("eps") for norm in norms]
    epsilon = values[0] if values else 1e-3  # none: the network was fused
    if not isinstance(epsilon, float) or not 0 < epsilon < 1 or values.count(epsilon) < len(values):
        raise CheckpointError(f"{path}: batch normalisation with several epsilons; needed: 0.001")
    return epsilon


def _pool_activation(path: Path, parts: Mapping[str, Record]) -> bool:
    """Return whether layer 9 begins with an activation; check that all else is YOLOv8's."""
    activations = dict(_activations(parts))
    entry = activations.pop(POOL_ENTRY, "SiLU")
    others = sorted({entry, *activations.values()} - {"SiLU"} - ({entry} & {"Identity"}))
    if others:
        raise CheckpointError(f"{path}: activation {', '.join(others)[:200]}; needed: SiLU")
    for name, part in parts.items():
        expected = {
            "Bottleneck": ("add", bool(RESIDUAL.fullmatch(name))),
            "SPPF": ("add", False),
            "MaxPool2d": ("kernel_size", 5),
        }.get(_class_name(part))
        if expected and part.state.get(*expected) != expected[1]:
            raise CheckpointError(f"{path}: {name}.{expected[0]} is not {expected[1]}: no YOLOv8")
    return entry != "Identity"


def _activations(parts: Mapping[str, Record]) -> Iterator[tuple[str, str]]:
    for name, part in parts.items():
        if _class_name(part) == "Conv" and f"{name}.act" in parts:
            yield name, _class_name(parts[f"{name}.act"])


def _labels(path: Path, names: Any) -> tuple[str, ...]:
    if names is None:
        return ()
    try:
        labels = ordered_labels(mapping(names) or names)
        "".join(labels).encode()  # half of a surrogate pair cannot be written to a manifest
    except (LabelsError, UnicodeError) as error:
        raise CheckpointError(f"{path}: names: {error}") from error
    return labels


def _side(*settings: Any) -> int | None:
    for values in settings:
        side = (mapping(values) or {}).get("imgsz")
        if type(side) is int and side in ALLOWED_SIDES:
            return side
    return None


def _licence(value: Any) -> str | None:
    is_licence = isinstance(value, str) and value.isprintable() and 0 < len(value) <= 200
    return value if is_licence else None


def _class_name(part: Any) -> str:
    return part.class_name.rpartition(".")[2] if isinstance(part, Record) else ""
