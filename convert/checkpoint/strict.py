"""A state_dict into a torch module: every key and every shape, or a refusal that names them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convert.checkpoint.keys import matches, some, strip_prefix
from convert.errors import CheckpointError


def load_strictly(
    module: Any, state: Mapping[str, Any], *, path: Path, ignore: tuple[str, ...] = ()
) -> None:
    """Put a state_dict into a torch module, every key and shape accounted for.

    Args:
        module: torch.nn.Module, changed in place; put into eval mode.
        state: tensors by name; a prefix before all of them is taken off, see `strip_prefix`.
        path: named in the message.
        ignore: patterns of keys that the module does not need.

    Raises:
        CheckpointError: keys missing or unexpected (named together, with the architecture whose
            keys these are, where one is known), or tensors of another shape.
    """
    expected = module.state_dict()
    # a prefix may stand before the ignored keys as well
    given = _without(strip_prefix(_without(state, ignore), min(expected)), ignore)
    # counts how many batches training saw; inference never reads it and old checkpoints lack it
    missing = sorted(k for k in expected.keys() - given.keys() if "num_batches_tracked" not in k)
    unexpected = sorted(given.keys() - expected.keys())
    if missing or unexpected:
        raise CheckpointError(
            f"{path}: not the keys of {type(module).__name__}: {some('missing', missing)}; "
            f"{some('unexpected', unexpected)}; {len(given)} keys found, {len(expected)} needed"
            f"{_advice(given, expected, path)}"
        )
    _check_shapes(given, expected, path)
    module.load_state_dict(given, strict=False)
    module.eval()


def _check_shapes(given: Mapping[str, Any], expected: Mapping[str, Any], path: Path) -> None:
    found = {key: (tuple(given[key].shape), tuple(expected[key].shape)) for key in given}
    other = {key: shapes for key, shapes in found.items() if shapes[0] != shapes[1]}
    if not other:
        return
    key, (has, needed) = next(iter(other.items()))
    more = f", and {len(other) - 1} more differ" if len(other) > 1 else ""
    raise CheckpointError(
        f"{path}: {key} has shape {has}; needed: {needed}{more}"
        f"{_class_counts(other) or _advice(given, expected, path)}"
    )


def _advice(given: Mapping[str, Any], expected: Mapping[str, Any], path: Path) -> str:
    from convert.checkpoint.nearest import advice  # imports torch

    return advice(given, path=path, instead_of=expected)


def _without(state: Mapping[str, Any], patterns: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if not matches(key, patterns)}


def _class_counts(other: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]) -> str:
    """Where only a layer's outputs differ, weight and bias alike, it is the classifier."""
    counts = {(has[:1], needed[:1]) for has, needed in other.values() if has[1:] == needed[1:]}
    if len(other) > 2 or len(counts) != 1 or any(h[1:] != n[1:] for h, n in other.values()):
        return ""
    has, needed = counts.pop()
    return f": the file has {has[0]} classes, this model {needed[0]}" if has and needed else ""
