"""Class names that a training script saved beside the weights."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from convert.checkpoint.labels import ordered_labels
from convert.checkpoint.settings import settings_dicts
from convert.checkpoint.torch_file import read_checkpoint
from convert.errors import CheckpointError, LabelsError

NAMES = (
    "class_names", "classes", "labels", "names", "idx_to_class", "class_to_idx", "id2label",
    "label2id",
)  # fmt: skip


def read_labels(path: Path) -> tuple[str, ...]:
    """Class names of a torch file, in output order; () where it has none.

    Read from the keys NAMES, beside the weights or among the settings: a list of names, or names
    and indices by each other.

    Raises:
        CheckpointError: as `read_checkpoint`; names twice or with gaps; two keys that disagree.
    """
    return labels_in(read_checkpoint(path), path=path)


def labels_in(loaded: Any, *, path: Path) -> tuple[str, ...]:
    """As `read_labels`, of what `read_checkpoint` gave; `path` is named in messages."""
    found: dict[str, tuple[str, ...]] = {}
    for place, value in _candidates(loaded):
        try:
            found[place] = ordered_labels(value)
        except LabelsError as error:
            raise CheckpointError(f"{path}: {place}: {error}") from error
    if len(set(found.values())) > 1:
        (first, one), (second, other) = _two_that_differ(found)
        raise CheckpointError(
            f"{path}: {first} says {', '.join(one)}, but {second} says {', '.join(other)}"
        )
    return next(iter(found.values()), ())


def _candidates(loaded: Any) -> Iterator[tuple[str, Any]]:
    for prefix, settings in settings_dicts(loaded):
        for name in NAMES:
            value = settings.get(name)
            if _names_classes(value):
                yield prefix + name, value


def _names_classes(value: Any) -> bool:
    """A list of text, or text by index or index by text: not a count, tensor or path."""
    if isinstance(value, Mapping):
        value = [*value.keys(), *value.values()]
        return any(isinstance(each, str) for each in value) and all(
            isinstance(each, int | str) for each in value
        )
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(each, str) for each in value)
    )


def _two_that_differ(found: Mapping[str, tuple[str, ...]]) -> list[tuple[str, tuple[str, ...]]]:
    first = next(iter(found.items()))
    return [first, next(item for item in found.items() if item[1] != first[1])]


def matching_labels(
    labels: tuple[str, ...], count: int, *, path: Path, layer: str
) -> tuple[str, ...]:
    """Return `labels` if they name the network's classes.

    Args:
        labels: what the checkpoint names; () if it names none.
        count: classes of the network.
        path: the checkpoint, for the message.
        layer: what decides the count, for the message: "classifier", "head".

    Raises:
        CheckpointError: the checkpoint names more or fewer classes than the network has.
    """
    if labels and len(labels) != count:
        names = ", ".join(labels)[:200]
        raise CheckpointError(
            f"{path}: names {len(labels)} classes ({names}); its {layer} has {count}"
        )
    return labels
