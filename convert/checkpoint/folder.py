"""Folders in Hugging Face's layout: settings as JSON, and weights in one file or several.

Nothing in a folder is executed: code that it brings (`auto_map`) is ignored.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convert.checkpoint.torch_file import as_float32, read_checkpoint
from convert.errors import CheckpointError

CONFIG = "config.json"
# in the order in which transformers looks for them
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
ADAPTER = "adapter_config.json"  # of peft
INDEX = ".index.json"  # after a name of WEIGHTS: the weights are in several files
MAX_JSON_BYTES = 10_000_000  # an index of 10,000 tensors has 1 MB


def read_folder_settings(folder: Path, name: str = CONFIG) -> Mapping[str, Any]:
    """Read one JSON file of the folder.

    Raises:
        CheckpointError: `folder` is no folder, has no such file, or the file holds no JSON object.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: not a folder; needed: one with {CONFIG} and its weights")
    _check_parts(folder)
    path = folder / name
    try:
        data = path.read_bytes()
        if len(data) > MAX_JSON_BYTES:
            raise CheckpointError(
                f"{path}: {len(data)} bytes; settings have at most {MAX_JSON_BYTES}"
            )
        settings = json.loads(data)
    except FileNotFoundError:
        raise CheckpointError(f"{folder}: holds no {name}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    if not isinstance(settings, dict):
        raise CheckpointError(f"{path}: holds a {type(settings).__name__}; needed: an object")
    return settings


def _check_parts(folder: Path) -> None:
    """Refuse what training leaves behind in place of a whole model, and say how to make it whole.

    Raises:
        CheckpointError: the folder holds a LoRA adapter, or checkpoints in folders of their own.
    """
    if (folder / ADAPTER).is_file():
        raise CheckpointError(
            f"{folder}: a LoRA adapter without its base model ({ADAPTER}); merge them: "
            "model.merge_and_unload().save_pretrained(DIR), and tokenizer.save_pretrained(DIR)"
        )
    checkpoints = sorted(path.name for path in folder.glob("checkpoint-*") if path.is_dir())
    if checkpoints and not (folder / CONFIG).is_file():
        raise CheckpointError(
            f"{folder}: the output of a Trainer; pass one of its folders: {', '.join(checkpoints)}"
        )


def read_folder_weights(folder: Path) -> dict[str, Any]:
    """Read the tensors by name, floating point as float32, from the first of WEIGHTS.

    Raises:
        CheckpointError: the folder has no weights; a file is damaged or holds more than tensors; a
            part is missing or lacks a tensor that the index promises; NaN or infinity.
    """
    for name in WEIGHTS:
        if (folder / name).is_file():
            return _read_file(folder / name)
        if (folder / f"{name}{INDEX}").is_file():
            return _read_parts(folder, f"{name}{INDEX}")
    raise CheckpointError(
        f"{folder}: holds no weights; needed: {' or '.join(WEIGHTS)}, or one of them in parts with "
        f"its {INDEX}"
    )


def _read_parts(folder: Path, index: str) -> dict[str, Any]:
    file_names = read_folder_settings(folder, index).get("weight_map")
    if not isinstance(file_names, dict) or not file_names:
        raise CheckpointError(f"{folder / index}: has no weight_map; needed: a file by tensor name")
    state: dict[str, Any] = {}
    for file_name in sorted(set(map(str, file_names.values()))):
        # a path out of the folder would read any file of the machine
        if file_name != Path(file_name).name:
            raise CheckpointError(f"{folder / index}: {file_name!r} is no file of the folder")
        state |= _read_file(folder / file_name)
    missing = sorted(file_names.keys() - state.keys())
    if missing:
        raise CheckpointError(
            f"{folder / index}: {file_names[missing[0]]} lacks {missing[0]}, and "
            f"{len(missing) - 1} more tensors are missing"
        )
    return state


def _read_file(path: Path) -> dict[str, Any]:
    import torch

    checkpoint = read_checkpoint(path)
    if not isinstance(checkpoint, Mapping):
        kind = type(checkpoint).__name__
        raise CheckpointError(f"{path}: holds a {kind}; needed: tensors by name")
    for name, value in checkpoint.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise CheckpointError(f"{path}: {name!r} is a {type(value).__name__}; needed: a tensor")
    return as_float32(checkpoint, path=path)
