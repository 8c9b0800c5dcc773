"""Class names that a training script saved with the weights."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from convert.checkpoint.labels import ordered_labels
from convert.checkpoint.settings import settings_dicts
from convert.checkpoint.torch_file import read_checkpoint
from convert.errors import CheckpointError, LabelsError

# keys under which scripts save class names
NAME_KEYS = (
    "class_names", "classes", "labels", "names", "idx_to_class", "class_to_idx", "id2label",
    "label2id",
)  # fmt: skip


def read_labels(path: Path) -> tuple[str, ...]:
    """Read the class names of a torch file, in output order; () if it has none.

    The names are at the keys NAME_KEYS, at the top level or in the settings: as a list, or as a
    mapping between names and indices.

    Raises:
        CheckpointError: as `read_checkpoint`; a name is there twice, an index is missing, or two
            keys disagree.
    """
    return labels_in(read_checkpoint(path), path=path)


def labels_in(checkpoint: Any, *, path: Path) -> tuple[str, ...]:
    """Return the class names in a checkpoint, as `read_labels`.

    Args:
        checkpoint: the return value of `read_checkpoint`.
        path: its file, for the message.
    """
    labels: dict[str, tuple[str, ...]] = {}
    for place, value in _candidates(checkpoint):
        try:
            labels[place] = ordered_labels(value)
        except LabelsError as error:
            raise CheckpointError(f"{path}: {place}: {error}") from error
    if len(set(labels.values())) > 1:
        (first, names), (second, others) = _first_two_that_differ(labels)
        raise CheckpointError(
            f"{path}: {first} says {', '.join(names)}, but {second} says {', '.join(others)}"
        )
    return next(iter(labels.values()), ())


def matching_labels(
    labels: tuple[str, ...], count: int, *, path: Path, layer: str
) -> tuple[str, ...]:
    """Return `labels` if there is one for each of the network's classes, or if there are none.

    Args:
        labels: the class names in the checkpoint; () if it has none.
        count: classes of the network.
        path: the checkpoint, for the message.
        layer: the layer that has one output per class, for the message: "classifier", "head".

    Raises:
        CheckpointError: the checkpoint names more or fewer classes than the network has.
    """
    if labels and len(labels) != count:
        names = ", ".join(labels)[:200]
        raise CheckpointError(
            f"{path}: names {len(labels)} classes ({names}); its {layer} has {count}"
        )
    return labels


def _candidates(checkpoint: Any) -> Iterator[tuple[str, Any]]:
    for prefix, settings in settings_dicts(checkpoint):
        for key in NAME_KEYS:
            value = settings.get(key)
            if _names_classes(value):
                yield prefix + key, value


def _names_classes(value: Any) -> bool:
    """Return whether a value is a list of text, or a mapping between text and indices.

    Scripts save counts, tensors and paths at the same keys.
    """
    if isinstance(value, Mapping):
        items = [*value.keys(), *value.values()]
        return any(isinstance(item, str) for item in items) and all(
            isinstance(item, int | str) for item in items
        )
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(item, str) for item in value)
    )


def _first_two_that_differ(
    labels: Mapping[str, tuple[str, ...]],
) -> list[tuple[str, tuple[str, ...]]]:
    first = next(iter(labels.items()))
    return [first, next(item for item in labels.items() if item[1] != first[1])]
