"""Keras 2 files in terms of Keras 3: the configuration mended, the weights as they are.

Keras 3 reads .h5 files of Keras 2 whose layers it still has with the same arguments. This module
rewrites those that changed, drops arguments that inference does not use, and gives TensorFlow's
operations between layers (`x / 127.5 - 1` was saved as `tf.math.truediv`) a layer of their own, for
a fixed list of functions. Nothing that the file names is looked up outside that list.

Source: the configurations that tf_keras 2.21 writes; `keras/src/models/functional.py` of Keras 3.
"""

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from convert.errors import CheckpointError

OPERATIONS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")
# arguments that Keras 3 lacks, with the values that change nothing
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "groups": (1,),
    "rng_type": ("stateful", "stateless", "legacy_stateful", None),
    "implementation": (0, 1, 2),
    "fused": (True, False, None),
}
# Keras 2 writes a pair of kernels' settings beside the ones that it uses
SEPARABLE = ("kernel_initializer", "kernel_regularizer", "kernel_constraint")
WITHOUT_GROUPS = ("DepthwiseConv2D", "SeparableConv2D", "DepthwiseConv1D", "SeparableConv1D")


def mended_file(path: Path, directory: Path) -> Path:
    """Return a copy of an .h5 file of Keras 2 whose configuration Keras 3 reads.

    Returns:
        `path` itself if the file is of Keras 3, or holds no configuration.

    Raises:
        CheckpointError: an operation between layers is not known.
    """
    import h5py

    with h5py.File(path) as file:
        text = file.attrs.get("model_config")
        if text is None or not _is_keras2(file):
            return path
        config = json.loads(text)
    mended = directory / "mended.h5"
    mended.write_bytes(path.read_bytes())
    with h5py.File(mended, "r+") as file:
        _replace_text(file.attrs, "model_config", json.dumps(_mend(config, path)))
    return mended


def custom_objects() -> dict[str, Any]:
    """Return the layers that a mended configuration names besides Keras's own."""
    return {"Operation": _operation_layer()}


def temporary_directory() -> tempfile.TemporaryDirectory[str]:
    """Return a directory for `mended_file`, which is removed with all that is in it."""
    return tempfile.TemporaryDirectory(prefix="slipway-keras-")


def _is_keras2(file: Any) -> bool:
    version = file.attrs.get("keras_version", b"2")
    version = version.decode() if isinstance(version, bytes) else str(version)
    return version.startswith(("1.", "2"))


def _replace_text(attributes: Any, name: str, text: str) -> None:
    del attributes[name]
    attributes[name] = text


def _mend(value: Any, path: Path) -> Any:
    """Return a part of a configuration with every layer in it mended."""
    if isinstance(value, list):
        return [_mend(item, path) for item in value]
    if not isinstance(value, dict):
        return value
    value = {key: _mend(item, path) for key, item in value.items()}
    if not isinstance(value.get("class_name"), str) or not isinstance(value.get("config"), dict):
        return value
    if value["class_name"] in OPERATIONS:
        value = _mend_operation(value, path)
    value["config"] = _mend_layer(value["class_name"], value["config"])
    if value["class_name"] in ("Functional", "Model"):
        value["config"] = _mend_names(value["config"])
    return value


def _mend_layer(class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    config = dict(config)
    is_keeper = class_name in ("Conv1D", "Conv2D", "Conv2DTranspose", "Conv3D")
    for name, values in NEUTRAL.items():
        if name in config and config[name] in values and not (name == "groups" and is_keeper):
            del config[name]
    if class_name in WITHOUT_GROUPS:
        for name in SEPARABLE:
            config.pop(name, None)
    axis = config.get("axis")
    if class_name in ("BatchNormalization", "SyncBatchNormalization") and isinstance(axis, list):
        (config["axis"],) = axis
    dtype = config.get("dtype")
    if isinstance(dtype, dict) and dtype.get("class_name") == "Policy":
        config["dtype"] = dtype["config"]["name"]
    if isinstance(config.get("name"), str):
        config["name"] = config["name"].replace("/", "__")
    return config


def _mend_names(config: dict[str, Any]) -> dict[str, Any]:
    """Rename the layers of a functional model wherever it refers to them: Keras 3 allows no "/"."""
    layers: list[dict[str, Any]] = []
    for layer in config["layers"]:
        nodes = [_plain_node(node) for node in layer.get("inbound_nodes") or []]
        name = str(layer.get("name", layer["config"].get("name")))
        layers.append({**layer, "name": name, "inbound_nodes": nodes})
    nested = {
        layer["name"]: len(layer["inbound_nodes"])
        for layer in layers
        if layer["class_name"] in ("Sequential", "Functional", "Model")
    }
    # Keras 3 itself corrects the outputs that are a functional model's
    sequential = {
        layer["name"]: nested[layer["name"]]
        for layer in layers
        if layer["class_name"] == "Sequential"
    }
    for layer in layers:
        layer["name"] = layer["name"].replace("/", "__")
        layer["inbound_nodes"] = _renamed(layer["inbound_nodes"], nested)
    ends = {
        key: _end(_renamed(config[key], sequential)) for key in ("input_layers", "output_layers")
    }
    return {**config, "layers": layers, **ends}


def _end(value: Any) -> Any:
    """Return one input or output without a list around it, which Keras 3 takes for structure."""
    is_single = isinstance(value, list) and len(value) == 1 and _is_reference(value[0])
    return value[0] if is_single else value


def _plain_node(node: Any) -> Any:
    """Return a node as a list of tensors; Keras 2 writes one tensor without the list around it."""
    return [node] if isinstance(node, list) and node and isinstance(node[0], str) else node


def _renamed(value: Any, calls: Mapping[str, int]) -> Any:
    """Return references `[layer, node, tensor, ...]` with the layers' new names.

    Args:
        value: references, in lists and dicts.
        calls: how often each nested model is called. Keras 2 also counts its own graph as a node,
            Keras 3 does not.
    """
    if isinstance(value, dict):
        return {key: _renamed(item, calls) for key, item in value.items()}
    if not isinstance(value, list):
        return value
    if not _is_reference(value):
        return [_renamed(item, calls) for item in value]
    name, node, *rest = value
    if name in calls and node == calls[name]:
        node -= 1
    return [name.replace("/", "__"), node, *rest]


def _is_reference(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 3 <= len(value) <= 4
        and isinstance(value[0], str)
        and all(type(item) is int for item in value[1:3])
    )


def _mend_operation(layer: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the `Operation` layer of an operation that was saved between layers.

    Raises:
        CheckpointError: the function is not one of FUNCTIONS, or is called more than once.
    """
    config, nodes = layer["config"], layer.get("inbound_nodes") or []
    function = str(config.get("function", config.get("node_def", "")))
    if function not in _functions() or len(nodes) != 1:
        raise CheckpointError(
            f"{path}: the operation {function[:80]!r} between layers is not known here; known: "
            f"{', '.join(_functions())}. Build the model with layers, or write a recipe of your "
            "own (convert/README.md)"
        )
    tensors, arguments = _split_arguments(_plain_node(nodes[0]))
    return {
        "class_name": "Operation",
        "name": layer["name"],
        "config": {
            "name": config["name"],
            "function": function,
            "arguments": {key: item for key, item in arguments.items() if key != "name"},
            "tensors": [key for key, _ in tensors],
        },
        "inbound_nodes": [[[*reference[:3], {}] for _, reference in tensors]],
    }


def _split_arguments(node: list[Any]) -> tuple[list[tuple[str, Any]], dict[str, Any]]:
    """Return the tensors of a node by the name of their argument, and its plain arguments."""
    tensors = [("", reference) for reference in node]
    arguments: dict[str, Any] = {}
    for reference in node:
        for key, value in (reference[3] if len(reference) > 3 else {}).items():
            if _is_reference(value):
                tensors.append((key, value))
            else:
                arguments[key] = value
    return tensors, arguments


def _functions() -> dict[str, Callable[..., Any]]:
    """Return the known operations by TensorFlow's names."""
    from convert.export.frameworks.keras_model import import_keras

    ops = import_keras().ops

    def of_two(call: Callable[[Any, Any], Any]) -> Callable[..., Any]:
        return lambda x, y=None: call(x, y)

    def reduced(call: Callable[..., Any]) -> Callable[..., Any]:
        return lambda x, axis=None, keepdims=False: call(x, axis=axis, keepdims=bool(keepdims))

    functions: dict[str, Callable[..., Any]] = {
        "nn.bias_add": lambda x, bias, data_format=None: x + ops.convert_to_tensor(bias, x.dtype),
        "nn.softmax": lambda x, axis=-1: ops.softmax(x, axis=axis),
        "nn.relu": ops.relu,
        "nn.relu6": ops.relu6,
        "nn.sigmoid": ops.sigmoid,
        "nn.silu": lambda features, beta=1.0: ops.silu(features),
        "math.sigmoid": ops.sigmoid,
        "math.tanh": ops.tanh,
        "cast": lambda x, dtype: ops.cast(x, str(dtype)),
        "math.reduce_mean": reduced(ops.mean),
        "math.reduce_max": reduced(ops.max),
        "math.reduce_sum": reduced(ops.sum),
        "math.l2_normalize": lambda x, axis=None, epsilon=1e-12: ops.normalize(
            x, axis=axis, epsilon=epsilon**0.5
        ),
        "reshape": lambda tensor, shape: ops.reshape(tensor, shape),
        "expand_dims": lambda x, axis: ops.expand_dims(x, axis),
        "__operators__.getitem": lambda x, slice_spec: x[_slices(slice_spec)],
    }
    for name, call in (
        ("truediv", ops.true_divide),
        ("divide", ops.true_divide),
        ("subtract", ops.subtract),
        ("multiply", ops.multiply),
        ("add", ops.add),
    ):
        functions[f"math.{name}"] = functions[f"__operators__.{name}"] = of_two(call)
    return functions


def _slices(spec: list[Any]) -> tuple[Any, ...]:
    return tuple(map(_slice, spec))


def _slice(part: Any) -> Any:
    if isinstance(part, Mapping):
        return Ellipsis if part.get("class_name") == "__ellipsis__" else _bounds(part)
    return part


def _bounds(part: Mapping[str, Any]) -> slice:
    return slice(*(part.get(name) for name in ("start", "stop", "step")))


def _operation_layer() -> Any:
    from convert.export.frameworks.keras_model import import_keras

    keras, functions = import_keras(), _functions()

    class Operation(keras.layers.Layer):  # type: ignore[name-defined] # Keras is untyped
        """One of the known operations, with its plain arguments."""

        def __init__(
            self, function: str, arguments: dict[str, Any], tensors: list[str], **options: Any
        ) -> None:
            super().__init__(**options)
            self._function = functions[function]
            self._arguments, self._names = arguments, tensors

        def call(self, inputs: Any) -> Any:
            """Compute the operation on one tensor, or on several by the names of arguments."""
            values = inputs if isinstance(inputs, list | tuple) else [inputs]
            named = dict(zip(self._names, values, strict=True))
            return self._function(named.pop(""), **named, **self._arguments)

    return Operation
