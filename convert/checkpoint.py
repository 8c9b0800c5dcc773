"""Checkpoints are data: read without running anything in them, or refused with the reason."""

import fnmatch
import hashlib
import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from convert.errors import CheckpointError

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
LFS_MAGIC = b"version https://git-lfs"
# what people wrap a state_dict in
WRAPPERS = ("state_dict", "model_state_dict", "model")
SHOWN_KEYS = 4
# Keras classes that execute or load something the file names
KERAS_CODE = (
    "Lambda",
    "__lambda__",
    "function",
    "TFSMLayer",
    "TorchModuleWrapper",
    "JaxLayer",
    "FlaxLayer",
)
# parts of Keras that models are made of; others download, save or load at a file's will
KERAS_PARTS = frozenset(
    {
        "activations", "constraints", "dtype_policies", "engine", "initializers", "layers",
        "losses", "metrics", "models", "optimizers", "quantizers", "regularizers",
    }
)  # fmt: skip


def sha256(path: Path) -> str:
    """Hash of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sniff(path: Path) -> str:
    """What kind of checkpoint a file is: "torch", "hdf5", "keras" or "onnx"; by content, not name.

    Raises:
        CheckpointError: missing, empty, a git-lfs pointer, or of no kind known here.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(64)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    if not head:
        raise CheckpointError(f"{path}: the file is empty")
    if head.startswith(LFS_MAGIC):
        raise CheckpointError(f"{path}: a git-lfs pointer, not the weights; run `git lfs pull`")
    if head.startswith(HDF5_MAGIC):
        return "hdf5"
    if head.startswith(b"PK\x03\x04"):
        return _zip_kind(path)
    if head.startswith(b"\x80"):
        return "torch"
    # an ONNX file is a bare protobuf: it begins with field 1 (ir_version) as a varint
    if head[0] == 0x08:
        return "onnx"
    raise CheckpointError(
        f"{path}: begins with {head[:8]!r}; "
        "known kinds: torch (.pt, .pth), Keras (.h5, .keras), ONNX"
    )


def read_state_dict(path: Path) -> dict[str, Any]:
    """Tensors by name from a torch file, unwrapped, in float32 where they are floating point.

    Raises:
        CheckpointError: not a torch file, damaged, holding anything but tensors and plain
            settings, or a tensor with NaN or infinity.
    """
    import torch

    kind = sniff(path)
    if kind != "torch":
        raise CheckpointError(f"{path}: a {kind} file; this model is read from a torch state_dict")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of pickles by other tools than torch: tried all the same
            # weights_only: an unpickler that knows tensors and containers and runs nothing else
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch writes half a page of advice around the one fact
        found = re.search(r"[Uu]nsupported \w+:? (?:GLOBAL )?[\w.]+", str(error))
        raise CheckpointError(
            f"{path}: holds more than tensors, and would have to run code to load "
            f"({found[0] if found else 'its pickle'}); save its state_dict() instead"
        ) from error
    except Exception as error:  # a damaged zip or pickle fails in a dozen ways
        raise CheckpointError(f"{path}: damaged or truncated ({error})") from error
    state = {_plain_key(key): value for key, value in _unwrapped(path, loaded).items()}
    for name, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"{path}: {name} holds NaN or infinity")
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


def load_strictly(
    module: Any, state: Mapping[str, Any], *, path: Path, ignore: tuple[str, ...] = ()
) -> None:
    """Put a state_dict into a torch module, every key and shape accounted for.

    Args:
        module: torch.nn.Module, changed in place.
        state: tensors by name.
        path: named in the message.
        ignore: patterns of keys that the module does not need.

    Raises:
        CheckpointError: keys missing or unexpected, or of another shape; both are named together.
    """
    expected = module.state_dict()
    state = {k: v for k, v in state.items() if not any(fnmatch.fnmatch(k, p) for p in ignore)}
    # counts how many batches training saw; inference never reads it and old checkpoints lack it
    missing = sorted(k for k in expected.keys() - state.keys() if "num_batches_tracked" not in k)
    unexpected = sorted(state.keys() - expected.keys())
    if missing or unexpected:
        name = type(module).__name__
        raise CheckpointError(
            f"{path}: not the keys of {name}: {_some('missing', missing)}; "
            f"{_some('unexpected', unexpected)}; {len(state)} keys found, {len(expected)} needed"
        )
    for key, value in state.items():
        if value.shape != expected[key].shape:
            raise CheckpointError(
                f"{path}: {key} has shape {tuple(value.shape)}; "
                f"needed: {tuple(expected[key].shape)}"
            )
    module.load_state_dict(dict(state), strict=False)
    module.eval()


def check_keras_config(path: Path) -> None:
    """Refuse a Keras file whose layers would run code of their own.

    Raises:
        CheckpointError: a Lambda layer, a function or class from outside Keras, a layer that loads
            another file, no architecture at all, or damaged.
    """
    for class_name, module in _keras_classes(_keras_config(path)):
        foreign = module is not None and not _is_part_of_keras(module)
        if foreign or class_name in KERAS_CODE:
            name = f"{module}.{class_name}" if module else class_name
            raise CheckpointError(
                f"{path}: {name} would run code that the file brings; allowed: Keras's own layers"
            )


def tensors_digest(tensors: Mapping[str, np.ndarray]) -> str:
    """One hash of named arrays: names, dtypes, shapes and bytes, in name order."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _zip_kind(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise CheckpointError(f"{path}: damaged or truncated ({error})") from error
    if "config.json" in names and "model.weights.h5" in names:
        return "keras"
    if any(name.endswith("data.pkl") for name in names):
        return "torch"
    raise CheckpointError(f"{path}: a zip that holds neither a torch nor a Keras model")


def _unwrapped(path: Path, loaded: Any) -> Mapping[str, Any]:
    import torch

    for wrapper in WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
    if not isinstance(loaded, Mapping) or not loaded:
        raise CheckpointError(f"{path}: holds a {type(loaded).__name__}; needed: a state_dict")
    for name, value in loaded.items():
        if not isinstance(name, str):
            raise CheckpointError(f"{path}: {name!r} is no name; a state_dict has tensors by name")
        if not isinstance(value, torch.Tensor):
            raise CheckpointError(
                f"{path}: {name!r} is a {type(value).__name__}; a state_dict holds tensors, "
                f"bare or under {', '.join(WRAPPERS)}"
            )
    return loaded


def _plain_key(key: str) -> str:
    return key.removeprefix("module.")  # torch.nn.DataParallel's


def _some(what: str, keys: list[str]) -> str:
    if not keys:
        return f"nothing {what}"
    shown = ", ".join(keys[:SHOWN_KEYS])
    return f"{len(keys)} {what} ({shown}{', ...' if len(keys) > SHOWN_KEYS else ''})"


def _keras_config(path: Path) -> Any:
    try:
        config = _keras_config_text(path)
        if config is not None:
            return json.loads(config)
    # h5py raises RuntimeError for some damage, json RecursionError, which is one too
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path}: damaged or truncated ({error})") from error
    raise CheckpointError(
        f"{path}: holds weights without an architecture; save the whole model (model.save)"
    )


def _keras_config_text(path: Path) -> str | bytes | None:
    if sniff(path) == "keras":
        with zipfile.ZipFile(path) as archive:
            return archive.read("config.json")
    import h5py

    with h5py.File(path) as file:
        text: str | bytes | None = file.attrs.get("model_config")
    return text


def _is_part_of_keras(module: str) -> bool:
    package, *parts = (part for part in module.split(".") if part != "src")
    return package == "keras" and (not parts or parts[0] in KERAS_PARTS)


def _keras_classes(config: Any) -> Iterator[tuple[str, str | None]]:
    if isinstance(config, dict):
        if isinstance(config.get("class_name"), str):
            yield config["class_name"], config.get("module")
        for value in config.values():
            yield from _keras_classes(value)
    elif isinstance(config, list):
        for value in config:
            yield from _keras_classes(value)
