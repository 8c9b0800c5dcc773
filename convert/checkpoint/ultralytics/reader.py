"""Checkpoints of ultralytics: a pickled module graph with its settings, or a state_dict.

`convert.checkpoint.unpickle` reads the graph without running anything. Shapes do not tell the
activation of the pooling block, epsilon and shortcuts: they are read from the graph, and values
that the network does not have are refused. A state_dict that its owner saved has no settings.

Source: ultralytics 8 `engine/trainer.py` (`save_model`), `nn/tasks.py` and `utils/torch_utils.py`
(`strip_optimizer`): the average `ema` before `model`.
"""

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.checkpoint import unpickle
from convert.checkpoint.class_names import labels_in
from convert.checkpoint.labels import ordered_labels
from convert.checkpoint.torch_file import read_checkpoint, state_dict_in
from convert.checkpoint.ultralytics import graph
from convert.checkpoint.ultralytics.layouts import LAYOUTS, Layout, Network
from convert.checkpoint.ultralytics.relatives import network_name, way_out
from convert.checkpoint.unpickle import Record, mapping
from convert.errors import CheckpointError, LabelsError
from runtime.artifact.manifest import Assumption

MAX_WRAPPERS = 4
ALLOWED_SIDES = range(32, 2049, 32)  # px
POOL_ACTIVATION = Assumption(
    "pool_activation",
    "SiLU",
    "default",
    "a state_dict does not tell whether the pooling block begins with an activation; assumed: it "
    "does. ultralytics 8.4 trained networks without it for some months of 2026: give the .pt file "
    "that it saved, which tells",
)


@dataclass(frozen=True, slots=True)
class UltralyticsCheckpoint:
    """The weights of a YOLOv8 or YOLO11 and the facts that its file states."""

    state: Mapping[str, Any]  # torch tensors by ultralytics' names, BatchNorm not folded
    labels: tuple[str, ...]  # (): the file names no classes
    side: int | None  # px of the input in training; None: the file does not say
    licence: str | None  # None: the file does not say
    pool_activation: bool = True
    epsilon: float = 1e-3
    assumptions: tuple[Assumption, ...] = ()  # facts that the file does not hold


def read_ultralytics(path: Path, network: Network = "yolov8") -> UltralyticsCheckpoint:
    """Read a .pt file of ultralytics, or a state_dict of the same network.

    Args:
        path: the file.
        network: the one that the file must hold, a key of LAYOUTS; for detection.

    Raises:
        CheckpointError: the file is no torch or safetensors file, is damaged, names classes that
            are no part of a checkpoint, or holds another network.
    """
    layout = LAYOUTS[network]
    file = unpickle.read(path) if zipfile.is_zipfile(path) else None
    module = _network(file.root) if file else None
    settings = (mapping(file.root) if file else None) or {}
    if file is None or module is None:
        return _read_state_dict(path, settings, layout)
    parts = dict(unpickle.modules(file, module))
    graph.check_layers(path, module, parts, layout)
    epsilon = graph.epsilon(path, parts)
    pool_activation = graph.pool_activation(path, parts, layout)
    graph.check_parts(path, parts, layout)
    state = _unfold(unpickle.state_dict(file, module), epsilon=epsilon)
    return UltralyticsCheckpoint(
        state=state,
        labels=_labels(path, module.state.get("names")),
        side=_side(settings.get("train_args"), module.state.get("args")),
        licence=_licence(settings.get("license")),
        pool_activation=pool_activation,
        epsilon=epsilon,
    )


def _read_state_dict(
    path: Path, settings: Mapping[Any, Any], layout: Layout
) -> UltralyticsCheckpoint:
    checkpoint = read_checkpoint(path)
    state = _unfold(_with_our_prefix(state_dict_in(checkpoint, path=path)))
    _check_keys(path, state, layout)
    return UltralyticsCheckpoint(
        state=state,
        labels=labels_in(checkpoint, path=path),
        side=_side(settings.get("train_args")),
        licence=_licence(settings.get("license")),
        assumptions=(POOL_ACTIVATION,),
    )


def _check_keys(path: Path, state: Mapping[str, Any], layout: Layout) -> None:
    """Refuse the keys of another network, by its name where they tell it."""
    name = network_name(state)
    if name == layout.name:
        return
    if name is not None:
        raise CheckpointError(f"{path}: {name}; needed: {layout.name}. {way_out(name, path=path)}")
    from convert.checkpoint import nearest  # imports torch

    architecture = nearest.nearest(state, nearest.shapes_of(nearest.architectures()))
    if architecture is None or architecture.model != layout.recipe:  # else it is a damaged one
        raise CheckpointError(
            f"{path}: not the keys of {layout.name}{nearest.way_out(architecture, path=path)}"
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
