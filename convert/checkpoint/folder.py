"""A folder as Hugging Face has them: settings as JSON beside weights in one file or several.

Nothing of it is executed: no code that it brings (`auto_map`) is looked at.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convert.checkpoint.torch_file import as_float32, read_checkpoint
from convert.errors import CheckpointError

CONFIG = "config.json"
# in the order transformers looks for them; with .index.json the weights are in several files
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
INDEX = ".index.json"
MOST_BYTES = 10_000_000  # of a JSON file; an index of 10,000 tensors has 1 MB


def read_folder_settings(folder: Path, name: str = CONFIG) -> Mapping[str, Any]:
    """One JSON file of the folder.

    Raises:
        CheckpointError: not a folder, no such file, or no JSON object.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: not a folder; needed: one with {CONFIG} and its weights")
    path = folder / name
    try:
        data = path.read_bytes()
        if len(data) > MOST_BYTES:
            raise CheckpointError(f"{path}: {len(data)} bytes; settings have at most {MOST_BYTES}")
        settings = json.loads(data)
    except FileNotFoundError:
        raise CheckpointError(f"{folder}: holds no {name}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    if not isinstance(settings, dict):
        raise CheckpointError(f"{path}: holds a {type(settings).__name__}; needed: an object")
    return settings


def read_folder_weights(folder: Path) -> dict[str, Any]:
    """Tensors by name, floating point as float32, from whichever of WEIGHTS is there.

    Raises:
        CheckpointError: none there, one damaged or with more than tensors, parts that are missing
            or do not hold what their index says; NaN or infinity.
    """
    for name in WEIGHTS:
        if (folder / name).is_file():
            return _tensors(folder / name)
        if (folder / f"{name}{INDEX}").is_file():
            return _joined(folder, f"{name}{INDEX}")
    raise CheckpointError(
        f"{folder}: holds no weights; needed: {' or '.join(WEIGHTS)}, or one of them in parts with "
        f"its {INDEX}"
    )


def _joined(folder: Path, index: str) -> dict[str, Any]:
    places = read_folder_settings(folder, index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise CheckpointError(f"{folder / index}: has no weight_map; needed: a file by tensor name")
    state: dict[str, Any] = {}
    for name in sorted(set(map(str, places.values()))):
        # a name that climbs out of the folder would read any file of the machine
        if name != Path(name).name:
            raise CheckpointError(f"{folder / index}: {name!r} is no file of the folder")
        state |= _tensors(folder / name)
    missing = sorted(places.keys() - state.keys())
    if missing:
        raise CheckpointError(
            f"{folder / index}: {places[missing[0]]} lacks {missing[0]}, and {len(missing) - 1} "
            "more tensors are missing"
        )
    return state


def _tensors(path: Path) -> dict[str, Any]:
    import torch

    found = read_checkpoint(path)
    if not isinstance(found, Mapping):
        raise CheckpointError(f"{path}: holds a {type(found).__name__}; needed: tensors by name")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise CheckpointError(f"{path}: {name!r} is a {type(value).__name__}; needed: a tensor")
    return as_float32(found, path=path)
