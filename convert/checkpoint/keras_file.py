"""Keras files: check, without loading one, that its layers would run no code of the file's."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from convert.checkpoint.kinds import detect_kind
from convert.errors import CheckpointError

# Keras classes that execute or load something that the file names
KERAS_CODE = (
    "Lambda",
    "__lambda__",
    "function",
    "TFSMLayer",
    "TorchModuleWrapper",
    "JaxLayer",
    "FlaxLayer",
)
# subpackages of Keras that models are made of; others download, save or load what a file names
KERAS_PARTS = frozenset(
    {
        "activations", "constraints", "dtype_policies", "engine", "initializers", "layers",
        "losses", "metrics", "models", "optimizers", "quantizers", "regularizers",
    }
)  # fmt: skip

# keras.ops of arithmetic between layers (`x + 1`); `core` and `function` call code of the file's
KERAS_OPERATIONS = frozenset({"image", "linalg", "math", "nn", "numpy"})


def check_keras_config(path: Path) -> None:
    """Refuse a Keras file whose layers would run code of their own.

    Raises:
        CheckpointError: the file has a Lambda layer, a function or class from outside Keras, a
            layer that loads another file or computes in half precision, or no architecture; or it
            is damaged.
    """
    config = _read_config(path)
    half = next(_half_policies(config), None)
    if half is not None:
        raise CheckpointError(
            f"{path}: a model of {half}; needed: float32. In Keras: "
            "keras.config.set_dtype_policy('float32'), build the model again, set_weights, save"
        )
    for class_name, module in _keras_classes(config):
        foreign = module is not None and not _is_part_of_keras(module)
        if foreign or class_name in KERAS_CODE:
            name = f"{module}.{class_name}" if module else class_name
            raise CheckpointError(
                f"{path}: {name} would run code that the file brings; allowed: Keras's own layers"
                f"{keras2_advice(path)}"
            )


def keras_weight_shapes(path: Path) -> list[tuple[int, ...]] | None:
    """Return the shapes of the arrays in an HDF5 file of weights alone.

    Returns:
        None if it is a whole model, or a file of another kind.

    Raises:
        CheckpointError: the file is damaged.
    """
    if detect_kind(path) != "hdf5":
        return None
    import h5py

    shapes: list[tuple[int, ...]] = []

    def visit(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            shapes.append(item.shape)

    try:
        with h5py.File(path) as file:
            if "model_config" in file.attrs:
                return None
            file.visititems(visit)
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: damaged or truncated ({error})") from error
    return shapes


def keras2_advice(path: Path) -> str:
    """Return the advice for a .keras file that Keras 2 wrote; "" for any other file."""
    try:
        with zipfile.ZipFile(path) as archive:
            version = json.loads(archive.read("metadata.json")).get("keras_version")
    except (OSError, KeyError, ValueError, AttributeError, RecursionError, zipfile.BadZipFile):
        return ""
    is_2 = isinstance(version, str) and version.startswith("2.")
    return ". The file is of Keras 2: save the model as .h5 there, which is read" if is_2 else ""


def _read_config(path: Path) -> Any:
    try:
        config = _read_config_text(path)
        if config is not None:
            return json.loads(config)
    # h5py raises RuntimeError for some damage, json RecursionError, which is one too
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path}: damaged or truncated ({error})") from error
    raise CheckpointError(
        f"{path}: holds weights without an architecture; in Keras: build the model, "
        "model.load_weights(FILE), model.save('model.keras')"
    )


def _read_config_text(path: Path) -> str | bytes | None:
    if detect_kind(path) == "keras":
        with zipfile.ZipFile(path) as archive:
            return archive.read("config.json")
    import h5py

    with h5py.File(path) as file:
        text: str | bytes | None = file.attrs.get("model_config")
    return text


def _is_part_of_keras(module: str) -> bool:
    package, *parts = (part for part in module.split(".") if part != "src")
    if parts[:1] == ["ops"]:
        return package == "keras" and len(parts) == 2 and parts[1] in KERAS_OPERATIONS
    return package == "keras" and (not parts or parts[0] in KERAS_PARTS)


def _half_policies(config: Any) -> Iterator[str]:
    """Yield the dtype policies of half precision in a configuration of Keras 2 or 3."""
    if isinstance(config, list):
        for item in config:
            yield from _half_policies(item)
    elif isinstance(config, dict):
        dtype = config.get("dtype")
        name = (dtype.get("config") or {}).get("name") if isinstance(dtype, dict) else dtype
        if isinstance(name, str) and name.endswith("float16"):
            yield name
        for item in config.values():
            yield from _half_policies(item)


def _keras_classes(config: Any) -> Iterator[tuple[str, str | None]]:
    """Yield class name and module of every object in a configuration; module None: Keras 2."""
    if isinstance(config, dict):
        if isinstance(config.get("class_name"), str):
            yield config["class_name"], config.get("module")
        for value in config.values():
            yield from _keras_classes(value)
    elif isinstance(config, list):
        for value in config:
            yield from _keras_classes(value)
