"""A face embedding network and the class centers that its training saved with it.

ArcFace and related losses train a backbone together with a matrix of class centers. Scripts save
both in one dict (`backbone.conv1.weight`, `head.weight`), in two (`{"backbone": ..., "head": ...}`,
insightface's `state_dict_backbone` and `state_dict_softmax_fc`), or the backbone alone.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.checkpoint.keys import strip_wrappers
from convert.checkpoint.settings import SETTINGS_KEYS
from convert.checkpoint.torch_file import AVERAGED, as_float32
from convert.errors import CheckpointError

# last part of the key of the class centers: (K, D), but "kernel" is (D, K)
CENTER_NAMES = (
    "weight", "kernel", "W", "centers", "centres", "class_centers", "class_centres", "prototypes",
    "fc_weight", "head",
)  # fmt: skip
# names of the softmax's scale next to the centers or the backbone. Among settings, "scale" alone
# may be the scale of anything
SCALE_NAMES = ("s", "scale")
SETTING_SCALE_NAMES = ("s", "arcface_s", "arcface_scale")
# more are the identities that the backbone was trained on, and no classes of a user's
MAX_CLASSES = 1000

Tensors = Mapping[str, Any]  # of torch, by name


@dataclass(frozen=True, slots=True)
class Embedder:
    """The parts of a checkpoint that make an embedding network."""

    marker_key: str  # the key that told which backbone it is
    state: Tensors  # the dict that holds the backbone; its own keys without a prefix
    other_tensors: Tensors  # of the other dicts, by place and key, as they are in the file
    numbers: Mapping[str, float]  # settings, by place and key


@dataclass(frozen=True, slots=True)
class ClassCenters:
    """Class centers, and the scale of the softmax over the cosines with them."""

    values: Any  # (K, D) torch.Tensor, float32
    scale: float | None  # None: the file does not say


def find_embedder(checkpoint: Any, marker_keys: Sequence[str], *, path: Path) -> Embedder | None:
    """Find the backbone that has one of the keys `marker_keys`, in any dict of a checkpoint.

    Args:
        checkpoint: the return value of `read_checkpoint`.
        marker_keys: one key of each known network.
        path: the checkpoint, for the message.

    Returns:
        None if no key is a marker key or ends in one. A running average is preferred.

    Raises:
        CheckpointError: a tensor of that dict holds NaN or infinity.
    """
    dicts = dict(_tensor_dicts(checkpoint))
    markers = {
        place: marker
        for place, state in dicts.items()
        if (marker := _find_marker(state, marker_keys))
    }
    if not markers:
        return None
    place = min(markers, key=lambda place: place.split(".")[0] not in AVERAGED)
    marker_key, prefix = markers[place]
    state = as_float32(dicts[place], path=path)
    others = {
        f"{other}{key}": value
        for other, tensors in dicts.items()
        if other not in markers
        for key, value in tensors.items()
    }
    own = {key.removeprefix(prefix): value for key, value in state.items()}
    return Embedder(marker_key, own, others, dict(_numbers(checkpoint)))


def split_head(
    embedder: Embedder, backbone_keys: Sequence[str], width: int, *, path: Path
) -> tuple[Tensors, ClassCenters | None]:
    """Split a checkpoint into its backbone and its head of class centers.

    Args:
        embedder: the return value of `find_embedder`.
        backbone_keys: the keys of the backbone's module.
        width: D, the length of its embedding.
        path: the checkpoint, for the message.

    Returns:
        The state of the dict that holds the backbone, without the head. The class centers, or None
        if there are none, or more than MAX_CLASSES.

    Raises:
        CheckpointError: several matrices could be the centers; a bias with them makes them a
            linear classifier; NaN or infinity; a scale that is no positive number.
    """
    own = set(backbone_keys)
    others = {key: value for key, value in embedder.state.items() if key not in own}
    others |= embedder.other_tensors
    names = [name for name, value in others.items() if _may_be_centers(name, value, width)]
    if not names:
        return embedder.state, None
    if len(names) > 1:
        raise CheckpointError(
            f"{path}: {', '.join(names)} could each be the class centers; needed: one of them"
        )
    (name,) = names
    prefix = name[: -len(_last_part(name))]
    if f"{prefix}bias" in others:
        raise CheckpointError(
            f"{path}: {name} has the bias {prefix}bias: it is a linear classifier. This model "
            "needs class centers, which have no bias; write a recipe of your own"
        )
    # losses keep constants with the centers: head.cos_m, head.th
    head = {key for key in others if key == name or (prefix and key.startswith(prefix))}
    state = {key: value for key, value in embedder.state.items() if key not in head}
    # of this tensor alone: the others may hold a loss that is infinite
    values = _orient_kd(name, as_float32({name: others[name]}, path=path)[name], width)
    if len(values) > MAX_CLASSES:
        return state, None
    numbers = {**embedder.numbers, **_scalars(others)}
    return state, ClassCenters(values, _scale(numbers, prefix, path))


def _tensor_dicts(checkpoint: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the tensors of every dict with its place: "", "backbone.", "model.head."."""
    import torch

    if not isinstance(checkpoint, Mapping):
        return
    items = {key: value for key, value in checkpoint.items() if isinstance(key, str)}
    tensors = {key: value for key, value in items.items() if isinstance(value, torch.Tensor)}
    if tensors:
        yield place, strip_wrappers(tensors)
    for key, value in items.items():
        yield from _tensor_dicts(value, f"{place}{key}.")


def _numbers(checkpoint: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """Yield every number of every dict, by its place and key."""
    if not isinstance(checkpoint, Mapping):
        return
    for key, value in checkpoint.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{place}{key}", float(value)
        yield from _numbers(value, f"{place}{key}.")


def _scalars(tensors: Tensors) -> dict[str, float]:
    return {key: float(value) for key, value in tensors.items() if value.numel() == 1}


def _find_marker(state: Tensors, marker_keys: Sequence[str]) -> tuple[str, str] | None:
    """Return the first marker key that a key is or ends in, and the prefix before it."""
    for marker_key in marker_keys:
        for key in state:
            if key == marker_key or key.endswith(f".{marker_key}"):
                return marker_key, key.removesuffix(marker_key)
    return None


def _may_be_centers(name: str, value: Any, width: int) -> bool:
    return _last_part(name) in CENTER_NAMES and value.ndim == 2 and width in value.shape


def _orient_kd(name: str, value: Any, width: int) -> Any:
    """Return the matrix as (K, D), whether the file has (K, D) or (D, K)."""
    is_dk = value.shape[1] != width or (_last_part(name) == "kernel" and value.shape[0] == width)
    return (value.T if is_dk else value).contiguous()


def _scale(numbers: Mapping[str, float], prefix: str, path: Path) -> float | None:
    keys = [f"{place}{name}" for place in (prefix, "") for name in SCALE_NAMES]
    keys += [f"{place}.{name}" for place in SETTINGS_KEYS for name in SETTING_SCALE_NAMES]
    key = next((key for key in keys if key in numbers), None)
    if key is None:
        return None
    if not 0 < numbers[key] < math.inf:
        raise CheckpointError(f"{path}: {key} is {numbers[key]}; needed: over 0")
    return numbers[key]


def _last_part(name: str) -> str:
    return name.rpartition(".")[2]
