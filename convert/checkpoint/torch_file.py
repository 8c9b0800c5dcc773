"""Torch and safetensors files: read as data, floating point brought to float32."""

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convert.checkpoint.keys import strip_prefix, trained
from convert.checkpoint.kinds import require_kind
from convert.checkpoint.stubs import stubs
from convert.errors import CheckpointError
from runtime.errors import one_line

# what people wrap a state_dict in. The running average comes first, as timm, Real-ESRGAN and
# ultralytics do: where a training script kept one, that is what it evaluated
AVERAGED = ("state_dict_ema", "ema_state_dict", "model_ema", "ema_model", "params_ema", "ema")
WRAPPERS = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "params",
    "weights", "module",
)  # fmt: skip
SHOWN_NAMES = 6
# how often one value may be repeated before a file is taken for hostile: a view of a single number
# can claim any shape
MOST_UNFOLDED = 64


def read_checkpoint(path: Path) -> Any:
    """What a torch file holds: tensors, containers and plain settings, as they are nested.

    A safetensors file is a flat dict of tensors. Nothing in the file is executed: unknown classes
    are refused, those of `stubs` read as inert values.

    Raises:
        CheckpointError: another kind of file, damaged, or with classes that would have to run code.
    """
    import torch

    if require_kind(path, "torch", "safetensors") == "safetensors":
        return _read_safetensors(path)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(stubs()):
            # of pickles by other tools than torch: tried all the same
            warnings.simplefilter("ignore")
            # weights_only: an unpickler that knows tensors and containers and runs nothing else
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch writes half a page of advice around the one fact
        found = re.search(r"[Uu]nsupported \w+:? (?:GLOBAL )?[\w.]+", str(error))
        raise CheckpointError(
            f"{path}: holds more than tensors, and would have to run code to load "
            f"({found[0] if found else 'its pickle'}); "
            f"{_instead(found[0] if found else '')}"
        ) from error
    except Exception as error:  # a damaged zip or pickle fails in a dozen ways
        raise CheckpointError(f"{path}: damaged or truncated ({one_line(error)})") from error


def read_state_dict(path: Path, *, marker_keys: tuple[str, ...] = ()) -> dict[str, Any]:
    """Tensors by name from a torch or safetensors file, unwrapped, floating point as float32.

    The state_dict may be bare or under one of AVERAGED or WRAPPERS; an average is taken where it
    covers all that was trained. Prefixes of DataParallel, torch.compile and AveragedModel go.

    Args:
        path: the file.
        marker_keys: keys of which the network has one. If a key of the file ends with one of them,
            the prefix before it (Lightning's `model.`) is removed from all; see `strip_prefix`.

    Raises:
        CheckpointError: as `read_checkpoint`; no state_dict in it; NaN or infinity in a tensor.
    """
    return state_dict_in(read_checkpoint(path), path=path, marker_keys=marker_keys)


def state_dict_in(loaded: Any, *, path: Path, marker_keys: tuple[str, ...] = ()) -> dict[str, Any]:
    """As `read_state_dict`, of what `read_checkpoint` gave; `path` is named in messages."""
    state = trained(_unwrapped(path, loaded))
    for anchor in marker_keys:
        state = strip_prefix(state, anchor)
    return as_float32(state, path=path)


def as_float32(state: Mapping[str, Any], *, path: Path) -> dict[str, Any]:
    """The same tensors, floating point as float32.

    Raises:
        CheckpointError: NaN or infinity in one, or a shape that its values cannot fill.
    """
    _check_sizes(path, state)
    return {name: _value(path, name, tensor) for name, tensor in state.items()}


def _value(path: Path, name: str, value: Any) -> Any:
    if not value.is_floating_point():
        return value
    value = value.detach().float()
    if not bool(value.isfinite().all()):
        raise CheckpointError(f"{path}: {name} holds NaN or infinity")
    return value


def _check_sizes(path: Path, state: Mapping[str, Any]) -> None:
    import torch

    for name, value in state.items():
        if value.layout is not torch.strided or value.is_quantized or value.is_meta:
            raise CheckpointError(f"{path}: {name} is sparse, quantized or empty; needed: values")
        stored = value.untyped_storage().nbytes()
        if value.numel() * value.element_size() > MOST_UNFOLDED * stored:
            raise CheckpointError(
                f"{path}: {name} claims the shape {tuple(value.shape)} of {stored} bytes; damaged"
            )


def _instead(refused: str) -> str:
    if " ultralytics." in refused:
        return "`python -m convert run face_emotion_yolov8n` reads such files"
    if "operand" in refused:
        return "a plain pickle, not torch's: save the state_dict with torch.save"
    return "save its state_dict() instead"


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:  # SafetensorError, which is a bare Exception, and OSError
        raise CheckpointError(f"{path}: damaged or truncated ({error})") from error


def _unwrapped(path: Path, loaded: Any) -> Mapping[str, Any]:
    """The state_dict in whatever surrounds it."""
    if not isinstance(loaded, Mapping) or not loaded:
        raise CheckpointError(f"{path}: holds a {type(loaded).__name__}; needed: a state_dict")
    plain, averaged = _state_in(loaded, WRAPPERS), _state_in(loaded, AVERAGED)
    if averaged and (not plain or trained(plain).keys() <= trained(averaged).keys()):
        return averaged
    if plain:
        return plain
    for name, value in loaded.items():
        if not isinstance(name, str):
            raise CheckpointError(f"{path}: {name!r} is no name; a state_dict has tensors by name")
        if not _is_tensor(value):
            raise CheckpointError(f"{path}: {_no_state(loaded, name)}")
    return loaded


def _state_in(loaded: Mapping[str, Any], wrappers: tuple[str, ...]) -> Mapping[str, Any] | None:
    """The first of the wrappers that holds tensors by name, or another wrapper that does."""
    for wrapper in wrappers:
        value = loaded.get(wrapper)
        if isinstance(value, Mapping) and value:
            if all(isinstance(key, str) and _is_tensor(each) for key, each in value.items()):
                return value
            inner = _state_in(value, WRAPPERS)
            if inner:
                return inner
    return None


def _is_tensor(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def _no_state(loaded: Mapping[str, Any], name: str) -> str:
    names = [str(each) for each in loaded]
    shown = ", ".join(names[:SHOWN_NAMES]) + (", ..." if len(names) > SHOWN_NAMES else "")
    return (
        f"{name!r} is a {type(loaded[name]).__name__}; a state_dict holds tensors, "
        f"bare or under {', '.join(WRAPPERS[:4])}, ...; found: {shown}"
    )
