"""The records of a pickled network against its layout: all that shapes do not tell."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from convert.checkpoint import unpickle
from convert.checkpoint.ultralytics.layouts import Layout
from convert.checkpoint.ultralytics.relatives import OWN_RECIPE, network_name, way_out
from convert.checkpoint.unpickle import Record, mapping
from convert.errors import CheckpointError

MODEL_CLASS = "ultralytics.nn.tasks.DetectionModel"
POOL_ENTRY = "model.9.cv1"
CONVOLUTIONS = ("Conv", "DWConv")  # of ultralytics: with normalisation and activation
HEAD_WIDTH = 64  # channels per attention head
Expected = Mapping[str, Any]  # attribute to its only value; a missing attribute is of older files


def check_layers(path: Path, module: Record, parts: Mapping[str, Record], layout: Layout) -> None:
    """Refuse a network of other layers, by its name.

    Args:
        path: the file, for the message.
        module: the network.
        parts: it and all modules inside, by dotted name.
        layout: of the network that is needed.

    Raises:
        CheckpointError: it is another network.
    """
    layers = _layers(module)
    keys = {f"{name}.weight" for name in parts}
    name = network_name(keys, class_name=class_name(module))
    yaml_file = (mapping(module.state.get("yaml")) or {}).get("yaml_file")
    of = f" of {yaml_file[:60]!r}" if isinstance(yaml_file, str) else ""
    if name is not None and name != layout.name:
        raise CheckpointError(
            f"{path}: {name} ({module.class_name[:80]}{of}); needed: {layout.name}. "
            f"{way_out(name, path=path)}"
        )
    if module.class_name != MODEL_CLASS or layers != layout.layers:
        other = sorted({item for item in layers if item not in layout.layers})
        listed = ", ".join(other)[:200] or f"{len(layers)} layers"
        raise CheckpointError(
            f"{path}: holds {module.class_name[:80]!r}{of} with {listed}; "
            f"needed: {MODEL_CLASS} of {layout.yaml}, {len(layout.layers)} layers of "
            f"{', '.join(sorted(set(layout.layers)))}, or {OWN_RECIPE}"
        )


def check_parts(path: Path, parts: Mapping[str, Record], layout: Layout) -> None:
    """Refuse layers that compute something else than the layout's.

    Raises:
        CheckpointError: naming the first such layer.
    """
    for name, part in parts.items():
        for attribute, value in _expected(name, part, layout).items():
            if part.state.get(attribute, value) != value:
                raise CheckpointError(
                    f"{path}: {name}.{attribute} is not {value}: no {layout.name.split()[0]}"
                )


def pool_activation(path: Path, parts: Mapping[str, Record], layout: Layout) -> bool:
    """Return whether layer 9 begins with an activation; check that all others are the layout's.

    Raises:
        CheckpointError: an activation that the network does not have.
    """
    activations = dict(_activations(parts))
    entry = activations.pop(POOL_ENTRY, "SiLU")
    if entry not in ("SiLU", "Identity"):
        raise CheckpointError(f"{path}: activation {entry[:80]} of {POOL_ENTRY}; needed: SiLU")
    for name, activation in activations.items():
        needed = "Identity" if layout.linear.fullmatch(name) else "SiLU"
        if activation != needed:
            raise CheckpointError(
                f"{path}: activation {activation[:80]} of {name}; needed: {needed}"
            )
    return entry != "Identity"


def epsilon(path: Path, parts: Mapping[str, Record]) -> float:
    """Return the epsilon of all batch normalisations; 0.001 if there are none.

    Raises:
        CheckpointError: they differ.
    """
    norms = [part for part in parts.values() if class_name(part) == "BatchNorm2d"]
    values = [norm.state.get("eps") for norm in norms]
    value = values[0] if values else 1e-3  # none: the network was fused
    if not isinstance(value, float) or not 0 < value < 1 or values.count(value) < len(values):
        raise CheckpointError(f"{path}: batch normalisation with several epsilons; needed: 0.001")
    return value


def class_name(part: Any) -> str:
    """Return the name of a record's class without its module."""
    return part.class_name.rpartition(".")[2] if isinstance(part, Record) else ""


def _layers(module: Record) -> tuple[str, ...]:
    inside = mapping(module.state["_modules"]) or {}
    children = inside.get("model")
    by_index = mapping(children.state["_modules"]) if unpickle.is_module(children) else None
    return tuple(class_name(layer) for layer in (by_index or {}).values())


def _expected(name: str, part: Record, layout: Layout) -> Expected:
    """Return what the attributes of one layer must be."""
    kind = class_name(part)
    if kind == "Conv2d":
        stride = 2 if layout.strided.fullmatch(name) else 1
        return {"stride": (stride, stride), "dilation": (1, 1), "padding_mode": "zeros"}
    if kind == "Attention":
        return _attention(part)
    if kind in ("Concat", "Detect"):
        index = re.fullmatch(r"model\.(\d+)", name)
        return {"f": layout.sources.get(int(index[1]))} if index else {}
    of_kind: Mapping[str, Expected] = {
        "Bottleneck": {"add": bool(layout.residual.fullmatch(name))},
        "PSABlock": {"add": True},
        "SPPF": {"add": False, "n": 3},
        "MaxPool2d": {"kernel_size": 5, "stride": 1},
        "Upsample": {"scale_factor": 2.0, "mode": "nearest"},
    }
    return of_kind.get(kind, {})


def _attention(part: Record) -> Expected:
    """Return the attributes that follow from the width and the count of the heads."""
    heads, width = part.state.get("num_heads"), part.state.get("head_dim")
    if type(heads) is not int or type(width) is not int or not 0 < heads * width < 2**20:
        return {"num_heads": "a count", "head_dim": "a count"}
    key = width // 2
    return {
        "num_heads": max(heads * width // HEAD_WIDTH, 1),
        "key_dim": key,
        "scale": key**-0.5 if key else None,
    }


def _activations(parts: Mapping[str, Record]) -> Iterator[tuple[str, str]]:
    for name, part in parts.items():
        if class_name(part) in CONVOLUTIONS and f"{name}.act" in parts:
            yield name, class_name(parts[f"{name}.act"])
