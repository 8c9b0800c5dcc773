"""Torch and safetensors files: read as data, with floating point converted to float32."""

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convert.checkpoint.keys import strip_prefix, strip_wrappers
from convert.checkpoint.kinds import require_kind
from convert.checkpoint.stubs import stubs
from convert.errors import CheckpointError
from runtime.errors import one_line

# keys under which training scripts save a running average of the weights. It comes first, as in
# timm, Real-ESRGAN and ultralytics: the script that kept one evaluated it
AVERAGED = ("state_dict_ema", "ema_state_dict", "model_ema", "ema_model", "params_ema", "ema")
# keys under which they save a state_dict
WRAPPERS = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "params",
    "weights", "module",
)  # fmt: skip
SHOWN_NAMES = 6
# how much larger a tensor may be than its stored bytes: a view that repeats a single number can
# claim any shape, and would fill the memory
MAX_EXPANSION = 64


def read_checkpoint(path: Path) -> Any:
    """Read a torch file: tensors, containers and plain settings, nested as the file nests them.

    A safetensors file becomes a flat dict of tensors, and a pickled module (`torch.save(model)`)
    its state_dict, see `convert.checkpoint.whole_module`. Nothing in the file is executed: classes
    of `stubs` become inert values, other classes are refused.

    Raises:
        CheckpointError: the file is of another kind or damaged, or holds classes that would have
            to run code.
    """
    import torch

    if require_kind(path, "torch", "safetensors") == "safetensors":
        return _read_safetensors(path)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(stubs()):
            warnings.simplefilter("ignore")  # about pickles that other tools than torch wrote
            # weights_only: an unpickler that knows tensors and containers and runs nothing else
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        whole = _read_module(path)
        if whole is not None:
            return whole
        # torch surrounds the one fact with half a page of advice
        match = re.search(r"[Uu]nsupported \w+:? (?:GLOBAL )?[\w.]+", str(error))
        fact = match[0] if match else ""
        raise CheckpointError(
            f"{path}: holds more than tensors, and would have to run code to load "
            f"({fact or 'its pickle'}); {_advice(fact)}"
        ) from error
    except Exception as error:  # a damaged zip or pickle raises one of a dozen types
        raise CheckpointError(f"{path}: damaged or truncated ({one_line(error)})") from error


def _read_module(path: Path) -> dict[str, Any] | None:
    """Return the tensors of a pickled module; None if the file holds none that can be read."""
    from convert.checkpoint.whole_module import (
        read_whole_module,  # which reads tensors by `as_float32`
    )

    try:
        return read_whole_module(path)
    except CheckpointError:
        return None  # the reason of torch's own reader is the one to tell


def read_state_dict(path: Path, *, marker_keys: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read tensors by name from a torch or safetensors file, floating point as float32.

    The state_dict may be the whole file or at one of the keys AVERAGED or WRAPPERS; a running
    average is preferred if it covers all tensors. Prefixes of DataParallel, torch.compile and
    AveragedModel are removed.

    Args:
        path: the file.
        marker_keys: keys of which the network has one. If a key of the file ends with one of them,
            the prefix before it (Lightning's `model.`) is removed from all; see `strip_prefix`.

    Raises:
        CheckpointError: as `read_checkpoint`; the file holds no state_dict; a tensor holds NaN or
            infinity.
    """
    return state_dict_in(read_checkpoint(path), path=path, marker_keys=marker_keys)


def state_dict_in(
    checkpoint: Any, *, path: Path, marker_keys: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the state_dict in a checkpoint, as `read_state_dict`.

    Args:
        checkpoint: the return value of `read_checkpoint`.
        path: its file, for the message.
        marker_keys: as `read_state_dict`.
    """
    state = strip_wrappers(_find_state(path, checkpoint))
    for marker_key in marker_keys:
        state = strip_prefix(state, marker_key)
    return as_float32(state, path=path)


def as_float32(state: Mapping[str, Any], *, path: Path) -> dict[str, Any]:
    """Return the same tensors, floating point as float32.

    Raises:
        CheckpointError: a tensor holds NaN or infinity, or has a shape that its bytes cannot fill.
    """
    _check_sizes(path, state)
    return {name: _as_finite_float32(path, name, tensor) for name, tensor in state.items()}


def _as_finite_float32(path: Path, name: str, tensor: Any) -> Any:
    if not tensor.is_floating_point():
        return tensor
    tensor = tensor.detach().float()
    if not bool(tensor.isfinite().all()):
        raise CheckpointError(f"{path}: {name} holds NaN or infinity")
    return tensor


def _check_sizes(path: Path, state: Mapping[str, Any]) -> None:
    import torch

    for name, tensor in state.items():
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
            raise CheckpointError(f"{path}: {name} is sparse, quantized or empty; needed: values")
        stored_bytes = tensor.untyped_storage().nbytes()
        if tensor.numel() * tensor.element_size() > MAX_EXPANSION * stored_bytes:
            raise CheckpointError(
                f"{path}: {name} claims the shape {tuple(tensor.shape)} of {stored_bytes} bytes; "
                "damaged"
            )


def _advice(fact: str) -> str:
    if " ultralytics." in fact:
        return (
            "`python -m convert run face_emotion_yolov8n` reads such files, and those of YOLO11 "
            "`face_emotion_yolo11n`"
        )
    if "operand" in fact:
        return "a plain pickle, not torch's: save the state_dict with torch.save"
    return "save its state_dict() instead"


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:  # SafetensorError, which is a bare Exception, and OSError
        raise CheckpointError(f"{path}: damaged or truncated ({error})") from error


def _find_state(path: Path, checkpoint: Any) -> Mapping[str, Any]:
    """Return the state_dict, wherever in the checkpoint it is."""
    if not isinstance(checkpoint, Mapping) or not checkpoint:
        raise CheckpointError(f"{path}: holds a {type(checkpoint).__name__}; needed: a state_dict")
    plain, averaged = _state_at(checkpoint, WRAPPERS), _state_at(checkpoint, AVERAGED)
    if averaged and (not plain or strip_wrappers(plain).keys() <= strip_wrappers(averaged).keys()):
        return averaged
    if plain:
        return plain
    for name, value in checkpoint.items():
        if not isinstance(name, str):
            raise CheckpointError(f"{path}: {name!r} is no name; a state_dict has tensors by name")
        if not _is_tensor(value):
            raise CheckpointError(f"{path}: {_describe_other(checkpoint, name)}")
    return checkpoint


def _state_at(checkpoint: Mapping[str, Any], keys: tuple[str, ...]) -> Mapping[str, Any] | None:
    """Return the first of the values at `keys` that is a state_dict or holds one."""
    for key in keys:
        value = checkpoint.get(key)
        if isinstance(value, Mapping) and value:
            if all(isinstance(name, str) and _is_tensor(item) for name, item in value.items()):
                return value
            inner = _state_at(value, WRAPPERS)
            if inner:
                return inner
    return None


def _is_tensor(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def _describe_other(checkpoint: Mapping[str, Any], name: str) -> str:
    """Return the sentence that refuses a dict whose value `name` is no tensor."""
    names = [str(key) for key in checkpoint]
    listing = ", ".join(names[:SHOWN_NAMES]) + (", ..." if len(names) > SHOWN_NAMES else "")
    return (
        f"{name!r} is a {type(checkpoint[name]).__name__}; a state_dict holds tensors, "
        f"bare or under {', '.join(WRAPPERS[:4])}, ...; found: {listing}"
    )
