"""Strict loading: a state_dict fits a torch module in every key and shape, or is refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convert.checkpoint.keys import matches, strip_prefix, summarize_keys
from convert.errors import CheckpointError

Shapes = tuple[tuple[int, ...], tuple[int, ...]]  # in the file, in the module


def load_strictly(
    module: Any, state: Mapping[str, Any], *, path: Path, ignore: tuple[str, ...] = ()
) -> None:
    """Load a state_dict into a torch module; refuse it if a key or a shape differs.

    Args:
        module: torch.nn.Module, changed in place and put into eval mode.
        state: tensors by name; a prefix before all of them is removed, see `strip_prefix`. The
            keys `num_batches_tracked` may be missing: only training reads them.
        path: the checkpoint, for the message.
        ignore: patterns of keys that the checkpoint may hold and the module does not need.

    Raises:
        CheckpointError: keys are missing or unexpected, or tensors have another shape. The message
            names them, and the architecture that the keys belong to if it is a known one.
    """
    expected = module.state_dict()
    # twice: the ignored keys may have the prefix as well
    state = _without(strip_prefix(_without(state, ignore), min(expected)), ignore)
    # old checkpoints lack num_batches_tracked
    missing = sorted(k for k in expected.keys() - state.keys() if "num_batches_tracked" not in k)
    unexpected = sorted(state.keys() - expected.keys())
    if missing or unexpected:
        raise CheckpointError(
            f"{path}: not the keys of {type(module).__name__}: "
            f"{summarize_keys('missing', missing)}; {summarize_keys('unexpected', unexpected)}; "
            f"{len(state)} keys found, {len(expected)} needed{_advice(state, expected, path)}"
        )
    _check_shapes(state, expected, path)
    module.load_state_dict(state, strict=False)
    module.eval()


def _check_shapes(state: Mapping[str, Any], expected: Mapping[str, Any], path: Path) -> None:
    """Refuse tensors of other shapes; name the first, the class counts, or the likely model."""
    shapes = {key: (tuple(state[key].shape), tuple(expected[key].shape)) for key in state}
    differing = {key: pair for key, pair in shapes.items() if pair[0] != pair[1]}
    if not differing:
        return
    key, (shape, needed) = next(iter(differing.items()))
    more = f", and {len(differing) - 1} more differ" if len(differing) > 1 else ""
    raise CheckpointError(
        f"{path}: {key} has shape {shape}; needed: {needed}{more}"
        f"{_class_counts(differing) or _advice(state, expected, path)}"
    )


def _advice(state: Mapping[str, Any], expected: Mapping[str, Any], path: Path) -> str:
    """Return the command that converts this checkpoint, if another model's keys fit it; else ""."""
    from convert.checkpoint.nearest import advice  # imports torch

    return advice(state, path=path, expected=expected)


def _without(state: Mapping[str, Any], patterns: tuple[str, ...]) -> dict[str, Any]:
    """Return the tensors whose keys match no pattern."""
    return {key: value for key, value in state.items() if not matches(key, patterns)}


def _class_counts(differing: Mapping[str, Shapes]) -> str:
    """Return the end of a message with both class counts if only the classifier differs; else "".

    The classifier is one layer whose weight and bias differ in their first axis alone.
    """
    counts = {(has[:1], needed[:1]) for has, needed in differing.values() if has[1:] == needed[1:]}
    if len(differing) > 2 or len(counts) != 1 or any(h[1:] != n[1:] for h, n in differing.values()):
        return ""
    has, needed = counts.pop()
    return f": the file has {has[0]} classes, this model {needed[0]}" if has and needed else ""
