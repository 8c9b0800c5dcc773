"""What ultralytics saves of a trained YOLOv8: a pickled module graph, with settings beside it.

Read by `convert.checkpoint.unpickle`, which runs nothing. A state_dict that people saved themselves
is read too; it has no settings. Facts that the tensors' shapes do not tell (activation of the
pooling block, epsilon, shortcuts) are read off the graph, and refused where they are not YOLOv8's.

Source: ultralytics 8 `engine/trainer.py` (`save_model`), `nn/tasks.py` and `utils/torch_utils.py`
(`strip_optimizer`): the average `ema` before `model`.
"""

import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.checkpoint import labels_in, read_checkpoint, state_dict_in, unpickle
from convert.checkpoint.labels import ordered_labels
from convert.checkpoint.unpickle import Record, mapping
from convert.errors import CheckpointError, LabelsError

KIND = "ultralytics.nn.tasks.DetectionModel"
LAYERS = (
    "Conv", "Conv", "C2f", "Conv", "C2f", "Conv", "C2f", "Conv", "C2f", "SPPF",
    "Upsample", "Concat", "C2f", "Upsample", "Concat", "C2f",
    "Conv", "Concat", "C2f", "Conv", "Concat", "C2f", "Detect",
)  # fmt: skip
RESIDUAL = re.compile(r"model\.[2468]\.m\.\d+")
POOL_ENTRY = "model.9.cv1"
MOST_WRAPPERS = 4
SIDES = range(32, 2049, 32)  # px, that an input may have
# key that tells a network of the same makers, and what it is
OTHERS = (
    ("model.22.proto.cv1.conv.weight", "YOLOv8 segmentation"),
    ("model.22.cv4.0.0.conv.weight", "YOLOv8 pose or oriented boxes"),
    ("model.9.linear.weight", "YOLOv8 classification"),
    ("model.24.m.0.weight", "YOLOv5"),
    ("model.24.cv2.0.0.conv.weight", "YOLOv5u"),
    ("model.23.one2one_cv2.0.0.conv.weight", "YOLOv10 or YOLO26"),
    ("model.23.cv2.0.0.conv.weight", "YOLO11 or later"),
)


@dataclass(frozen=True, slots=True)
class UltralyticsCheckpoint:
    """A trained network, as its file tells it."""

    state: Mapping[str, Any]  # torch tensors by ultralytics' names, BatchNorm not folded
    labels: tuple[str, ...]  # (): not named
    side: int | None  # px, of the input that it was trained at
    licence: str | None  # as the file states it
    pool_activation: bool = True
    epsilon: float = 1e-3


def read_ultralytics(path: Path) -> UltralyticsCheckpoint:
    """Read a .pt file of ultralytics, or a state_dict of the same network.

    Raises:
        CheckpointError: not a torch or safetensors file, damaged, with classes that no checkpoint
            needs, or of another network than YOLOv8 for detection.
    """
    # by content: `unpickle.read` says what else a file is, where it is none of these
    file = unpickle.read(path) if zipfile.is_zipfile(path) else None
    module = _network(file.root) if file else None
    settings = (mapping(file.root) if file else None) or {}
    if file is None or module is None:
        return _plain(path, settings)
    _check_layers(path, module)
    parts = dict(unpickle.modules(file, module))
    epsilon = _epsilon(path, parts)
    state = _unfolded(unpickle.state_dict(file, module), epsilon=epsilon)
    return UltralyticsCheckpoint(
        state=state,
        labels=_labels(path, module.state.get("names")),
        side=_side(settings.get("train_args"), module.state.get("args")),
        licence=_licence(settings.get("license")),
        pool_activation=_pool_activation(path, parts),
        epsilon=epsilon,
    )


def _plain(path: Path, settings: Mapping[Any, Any]) -> UltralyticsCheckpoint:
    loaded = read_checkpoint(path)
    state = _unfolded(_with_our_prefix(state_dict_in(loaded, path=path)))
    for key, name in OTHERS:
        if key in state:
            raise CheckpointError(f"{path}: {name}; needed: YOLOv8 detection")
    return UltralyticsCheckpoint(
        state=state,
        labels=labels_in(loaded, path=path),
        side=_side(settings.get("train_args")),
        licence=_licence(settings.get("license")),
    )


def _with_our_prefix(state: Mapping[str, Any]) -> dict[str, Any]:
    """Keys from `model.`, whether a file has `0.conv`, `model.0.conv` or `model.model.0.conv`."""
    return {re.sub(r"^(?:(?:module|model)\.)*(?=\d+\.)", "model.", k): v for k, v in state.items()}


def _unfolded(state: Mapping[str, Any], *, epsilon: float = 1e-3) -> dict[str, Any]:
    """A network saved after `fuse()`: its biases as those of an identical batch normalisation."""
    import torch

    found: dict[str, Any] = {}
    for name, value in state.items():
        layer = name.removesuffix("conv.bias")
        if layer == name or f"{layer}bn.weight" in state:
            found[name] = value
            continue
        one = torch.ones_like(value)
        found |= {f"{layer}bn.weight": one, f"{layer}bn.bias": value}
        found |= {f"{layer}bn.running_mean": 0 * one, f"{layer}bn.running_var": one - epsilon}
    return found


def _network(root: Any) -> Record | None:
    """The graph of `ema`, else of `model`, else the file's own; None: there is no graph."""
    settings = mapping(root) or {}
    for candidate in (settings.get("ema"), settings.get("model"), root):
        if unpickle.is_module(candidate):
            return _unwrapped(candidate)
    return None


def _unwrapped(module: Record) -> Record:
    """The network inside ultralytics' YOLO object and torch's DataParallel."""
    for _ in range(MOST_WRAPPERS):
        inside = mapping(module.state["_modules"]) or {}
        inner = inside.get("module", inside.get("model"))
        if "yaml" in module.state or not unpickle.is_module(inner):
            break
        module = inner
    return module


def _check_layers(path: Path, module: Record) -> None:
    inside = mapping(module.state["_modules"]) or {}
    children = inside.get("model")
    named = mapping(children.state["_modules"]) if unpickle.is_module(children) else None
    layers = tuple(_kind(layer) for layer in (named or {}).values())
    if module.class_name == KIND and layers == LAYERS:
        return
    plan = (mapping(module.state.get("yaml")) or {}).get("yaml_file")
    of = f" of {plan[:60]!r}" if isinstance(plan, str) else ""
    other = sorted({kind for kind in layers if kind not in LAYERS}) or [f"{len(layers)} layers"]
    raise CheckpointError(
        f"{path}: holds {module.class_name[:80]!r}{of} with {', '.join(other)[:200]}; "
        f"needed: {KIND} of yolov8.yaml, {len(LAYERS)} layers of {', '.join(sorted(set(LAYERS)))}"
    )


def _epsilon(path: Path, parts: Mapping[str, Record]) -> float:
    found = [part.state.get("eps") for part in parts.values() if _kind(part) == "BatchNorm2d"]
    epsilon = found[0] if found else 1e-3  # none: folded
    if not isinstance(epsilon, float) or not 0 < epsilon < 1 or found.count(epsilon) < len(found):
        raise CheckpointError(f"{path}: batch normalisation with several epsilons; needed: 0.001")
    return epsilon


def _pool_activation(path: Path, parts: Mapping[str, Record]) -> bool:
    """Whether layer 9 begins with an activation; everything else is checked to be as usual."""
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
        }.get(_kind(part))
        if expected and part.state.get(*expected) != expected[1]:
            raise CheckpointError(f"{path}: {name}.{expected[0]} is not {expected[1]}: no YOLOv8")
    return entry != "Identity"


def _activations(parts: Mapping[str, Record]) -> Iterator[tuple[str, str]]:
    for name, part in parts.items():
        if _kind(part) == "Conv" and f"{name}.act" in parts:
            yield name, _kind(parts[f"{name}.act"])


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
        if type(side) is int and side in SIDES:
            return side
    return None


def _licence(value: Any) -> str | None:
    is_plain = isinstance(value, str) and value.isprintable() and 0 < len(value) <= 200
    return value if is_plain else None


def _kind(part: Any) -> str:
    return part.class_name.rpartition(".")[2] if isinstance(part, Record) else ""
