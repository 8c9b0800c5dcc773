"""A face embedding network and the class centres that its training saved with it.

ArcFace and its kin train a backbone together with a matrix of class centres. People save both in
one dict (`backbone.conv1.weight`, `head.weight`), in two (`{"backbone": ..., "head": ...}`,
insightface's `state_dict_backbone` and `state_dict_softmax_fc`), or the backbone alone.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.checkpoint.keys import trained
from convert.checkpoint.settings import SETTINGS_KEYS
from convert.checkpoint.torch_file import AVERAGED, as_float32
from convert.errors import CheckpointError

# last part of the centres' name: (K, D), but "kernel" is (D, K)
CENTRES = (
    "weight", "kernel", "W", "centers", "centres", "class_centers", "class_centres", "prototypes",
    "fc_weight", "head",
)  # fmt: skip
# of the softmax's scale, beside the centres or the backbone; among settings "scale" alone may be
# the scale of anything
SCALES = ("s", "scale")
SETTINGS_SCALES = ("s", "arcface_s", "arcface_scale")
# more are the identities that the backbone was trained on, which are no answer to anything
MOST_CLASSES = 1000

Tensors = Mapping[str, Any]  # of torch, by name


@dataclass(frozen=True, slots=True)
class Embedder:
    """What a checkpoint holds of an embedding network, before the network is known."""

    marker_key: str  # the key by which the backbone was found
    state: Tensors  # the dict that it lies in; its own keys without a prefix
    beside: Tensors  # of other dicts, by place and key; as they are
    numbers: Mapping[str, float]  # settings, by place and key


@dataclass(frozen=True, slots=True)
class ClassCenters:
    """Class centres, and how sharp the softmax over their cosines was trained."""

    values: Any  # (K, D) torch.Tensor, float32
    scale: float | None  # None: the file does not say


def find_embedder(loaded: Any, anchors: Sequence[str], *, path: Path) -> Embedder | None:
    """The backbone that has one of the keys `anchors`, wherever it lies.

    Args:
        loaded: what `read_checkpoint` gave.
        anchors: one key of each network that is known.
        path: named in messages.

    Returns:
        None where no key is an anchor or ends in one. A running average comes first.

    Raises:
        CheckpointError: NaN or infinity in a tensor of that dict.
    """
    dicts = dict(_dicts(loaded))
    hits = {place: found for place, d in dicts.items() if (found := _anchored(d, anchors))}
    if not hits:
        return None
    chosen = min(hits, key=lambda place: place.split(".")[0] not in AVERAGED)
    anchor, prefix = hits[chosen]
    state = as_float32(dicts[chosen], path=path)
    beside = {
        f"{place}{key}": value
        for place, others in dicts.items()
        if place not in hits
        for key, value in others.items()
    }
    own = {key.removeprefix(prefix): value for key, value in state.items()}
    return Embedder(anchor, own, beside, dict(_numbers(loaded)))


def split_head(
    embedder: Embedder, own: Sequence[str], width: int, *, path: Path
) -> tuple[Tensors, ClassCenters | None]:
    """Part the backbone from its head.

    Args:
        embedder: as found.
        own: the backbone's keys.
        width: D, of its embedding.
        path: named in messages.

    Returns:
        The backbone's dict without the head, whatever else is in it; the centres, or None where
        there are none, or more than MOST_CLASSES.

    Raises:
        CheckpointError: several matrices that could be the centres; a bias beside them, which
            makes them a linear classifier; NaN or infinity; a scale that is no positive number.
    """
    strangers = {key: value for key, value in embedder.state.items() if key not in set(own)}
    others = strangers | dict(embedder.beside)
    names = [name for name, value in others.items() if _may_be_centres(name, value, width)]
    if not names:
        return embedder.state, None
    if len(names) > 1:
        raise CheckpointError(
            f"{path}: {', '.join(names)} could each be the class centres; needed: one of them"
        )
    (name,) = names
    part = name[: -len(_last(name))]
    if f"{part}bias" in others:
        raise CheckpointError(
            f"{path}: {part}bias stands beside {name}: a linear classifier. This model answers "
            "by class centres, which have no bias; write a recipe of your own"
        )
    # margins keep constants there too: head.cos_m, head.th
    head = {key for key in others if key == name or (part and key.startswith(part))}
    state = {key: value for key, value in embedder.state.items() if key not in head}
    # only now: what else lies beside may be a loss of infinity
    values = _orient_kd(name, as_float32({name: others[name]}, path=path)[name], width)
    if len(values) > MOST_CLASSES:
        return state, None
    return state, ClassCenters(values, _scale({**embedder.numbers, **_scalars(others)}, part, path))


def _dicts(loaded: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every dict's tensors by its place: "", "backbone.", "model.head."."""
    import torch

    if not isinstance(loaded, Mapping):
        return
    named = {key: value for key, value in loaded.items() if isinstance(key, str)}
    tensors = {key: value for key, value in named.items() if isinstance(value, torch.Tensor)}
    if tensors:
        yield place, trained(tensors)
    for key, value in named.items():
        yield from _dicts(value, f"{place}{key}.")


def _numbers(loaded: Any, place: str = "") -> Iterator[tuple[str, float]]:
    if not isinstance(loaded, Mapping):
        return
    for key, value in loaded.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{place}{key}", float(value)
        yield from _numbers(value, f"{place}{key}.")


def _scalars(tensors: Tensors) -> dict[str, float]:
    return {key: float(value) for key, value in tensors.items() if value.numel() == 1}


def _anchored(state: Tensors, anchors: Sequence[str]) -> tuple[str, str] | None:
    """The first anchor that a key is or ends in, and what stands before it."""
    for anchor in anchors:
        for key in state:
            if key == anchor or key.endswith(f".{anchor}"):
                return anchor, key.removesuffix(anchor)
    return None


def _may_be_centres(name: str, value: Any, width: int) -> bool:
    return _last(name) in CENTRES and value.ndim == 2 and width in value.shape


def _orient_kd(name: str, value: Any, width: int) -> Any:
    """(K, D), whichever way the file has it."""
    transposed = value.shape[1] != width or (_last(name) == "kernel" and value.shape[0] == width)
    return (value.T if transposed else value).contiguous()


def _scale(numbers: Mapping[str, float], part: str, path: Path) -> float | None:
    places = [f"{place}{name}" for place in (part, "") for name in SCALES]
    places += [f"{place}.{name}" for place in SETTINGS_KEYS for name in SETTINGS_SCALES]
    for place in places:
        if place in numbers:
            if not 0 < numbers[place] < math.inf:
                raise CheckpointError(f"{path}: {place} is {numbers[place]}; needed: over 0")
            return numbers[place]
    return None


def _last(name: str) -> str:
    return name.rpartition(".")[2]
