"""A backbone inside another network: find it under any prefix, and the head that is left over.

Owners keep a published network as an attribute (`backbone.conv1.weight`, `encoder.features...`),
cut its classifier off, or rebuild it as `Sequential(*children()[:-1])`, whose keys are numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convert.checkpoint.keys import LOSS_KEYS, matches

State = Mapping[str, Any]  # torch tensors by name
COUNTER = "num_batches_tracked"  # of batch normalisation; inference does not read it


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to name the tensors of a network."""

    name: str
    markers: tuple[str, ...]  # keys that together only this layout has
    to_ours: Callable[[State], dict[str, Any]]  # renames the keys of a whole state


@dataclass(frozen=True, slots=True)
class Backbone:
    """The tensors of a network, and those beside it."""

    layout: Layout
    state: dict[str, Any]  # under the prefix, in our layout
    others: dict[str, Any]  # by their names in the file


@dataclass(frozen=True, slots=True)
class LinearHead:
    """One linear layer on the pooled features."""

    name: str
    weight: Any  # (K, D)
    bias: Any | None  # (K,)


def find_backbone(state: State, layouts: Sequence[Layout]) -> Backbone | None:
    """Find a network by the marker keys of its layouts, under the shortest prefix that has all.

    Returns:
        None if no layout's markers are there.
    """
    for layout in layouts:
        first = layout.markers[0]
        prefixes = {
            key.removesuffix(first) for key in state if key == first or key.endswith(f".{first}")
        }
        for prefix in sorted(prefixes, key=len):
            if all(f"{prefix}{marker}" in state for marker in layout.markers):
                own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
                others = {
                    key: value
                    for key, value in state.items()
                    if not key.startswith(prefix) and not matches(key, LOSS_KEYS)
                }
                return Backbone(layout, layout.to_ours(own), others)
    return None


def linear_head(leftover: State, width: int) -> LinearHead | None:
    """Return the head if what is left over of a state is one linear layer on `width` features."""
    tensors = {key: value for key, value in leftover.items() if not key.endswith(COUNTER)}
    names = {key.rpartition(".")[0] for key in tensors}
    if len(names) != 1:
        return None
    (name,) = names
    weight, bias = (tensors.pop(f"{name}.{part}", None) for part in ("weight", "bias"))
    is_linear = weight is not None and weight.ndim == 2 and weight.shape[1] == width
    if tensors or not is_linear or (bias is not None and bias.shape != weight.shape[:1]):
        return None
    return LinearHead(name, weight, bias)


def numbered(names: Mapping[str, str]) -> Callable[[State], dict[str, Any]]:
    """Return a function that renames the first part of keys: `0.weight` to `conv1.weight`.

    Args:
        names: the name of each child by its number in `Sequential(*children()[:-1])`.
    """

    def rename(state: State) -> dict[str, Any]:
        parts = ((key.partition("."), value) for key, value in state.items())
        return {f"{names.get(child, child)}{dot}{rest}": v for (child, dot, rest), v in parts}

    return rename
