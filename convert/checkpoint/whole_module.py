"""A pickled module (`torch.save(model)`) as its state_dict, and the name of its network.

`convert.checkpoint.unpickle` reads the module as records: nothing in the file runs, and the classes
that it names need not be installed. A state_dict does not hold what a module computes; what the
records tell of it is kept as the setting `arch`, which recipes read.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convert.checkpoint import unpickle
from convert.checkpoint.unpickle import Record, mapping

# keys under which scripts save the module, the averaged one first
PLACES = ("ema", "model_ema", "model", "net", "network", "module")
FOREIGN = (
    "ultralytics."  # convert.checkpoint.ultralytics reads these, with all that their records tell
)
WRAPPERS = (
    "torch.nn.parallel.data_parallel.DataParallel",
    "torch.nn.parallel.distributed.DistributedDataParallel",
)
# torchvision has one arithmetic by class; shapes tell the size
BY_CLASS = {
    "torchvision.models.resnet.ResNet": "resnet50",
    "torchvision.models.mobilenetv2.MobileNetV2": "mobilenet_v2",
    "torchvision.models.mobilenet.MobileNetV2": "mobilenet_v2",
}
MODIFIED = "modified_"  # before the name of a network whose layers compute something else
EPSILON = 1e-5
TIMM_EFFICIENTNET = "timm.models.efficientnet.EfficientNet"
SAME_PADDING = "Conv2dSame"


def read_whole_module(path: Path) -> dict[str, Any] | None:
    """Read a pickled module as `{"state_dict": tensors, "arch": name}`, or None if there is none.

    Raises:
        CheckpointError: the file is damaged, or names classes that are no part of a checkpoint.
    """
    if not zipfile.is_zipfile(path):
        return None
    file = unpickle.read(path)
    module = _find_module(file.root)
    if module is None or module.class_name.startswith(FOREIGN):
        return None
    parts = [part for _, part in unpickle.modules(file, module)]
    if any(part.class_name.startswith(FOREIGN) for part in parts):
        return None
    settings = _plain_settings(file.root) if module is not file.root else {}
    module = _unwrapped(module)
    name, config = _arch(module, parts), _timm_config(module)
    return {
        **settings,
        **({"pretrained_cfg": config} if config else {}),
        **({"arch": name} if name else {}),
        "state_dict": unpickle.state_dict(file, module),
    }


def _find_module(root: Any) -> Record | None:
    entries = mapping(root) or {}
    for candidate in (root, *(entries.get(place) for place in PLACES)):
        if unpickle.is_module(candidate):
            return candidate
    return None


def _plain_settings(root: Any) -> dict[str, Any]:
    """Return the entries beside the module that are plain values, or mappings of them."""
    return {
        key: value
        for key, value in (mapping(root) or {}).items()
        if isinstance(key, str) and key != "state_dict" and _is_plain(value)
    }


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(item) for item in (*value.keys(), *value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or type(value) in (str, int, float, bool)


def _unwrapped(module: Record) -> Record:
    """Return the network inside DataParallel, whose keys `read_state_dict` then finds bare."""
    while module.class_name in WRAPPERS:
        inner = (mapping(module.state["_modules"]) or {}).get("module")
        if not unpickle.is_module(inner):
            return module
        module = inner
    return module


def _timm_config(module: Record) -> dict[str, Any]:
    """Return the plain settings that timm keeps with a network: name, mean, size and the like."""
    for attribute in ("pretrained_cfg", "default_cfg"):
        config = module.state.get(attribute)
        entries: Mapping[Any, Any] = (
            config.state if isinstance(config, Record) else mapping(config) or {}
        )
        plain = {key: value for key, value in entries.items() if _is_plain(value)}
        if plain:
            return plain
    return {}


def _arch(module: Record, parts: list[Record]) -> str | None:
    """Return the name of the network, as far as the records tell what it computes."""
    name = _timm_config(module).get("architecture")
    if isinstance(name, str):
        return name
    if module.class_name == TIMM_EFFICIENTNET:
        is_same = any(part.class_name.endswith(SAME_PADDING) for part in parts)
        return "tf_efficientnet" if is_same else "efficientnet"
    name = BY_CLASS.get(module.class_name)
    return f"{MODIFIED}{name}" if name and any(map(_is_modified, parts)) else name


def _is_modified(part: Record) -> bool:
    """Return whether a layer computes otherwise than in torchvision's networks of BY_CLASS."""
    if part.class_name.endswith("BatchNorm2d"):
        return part.state.get("eps", EPSILON) != EPSILON
    return part.state.get("dilation", 1) not in (1, (1, 1))
