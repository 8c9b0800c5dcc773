"""Names of tensors: what training wrapped around a network, and the network's own."""

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any

SHOWN_KEYS = 4
# of torch.nn.DataParallel and torch.compile
WRAPPED = ("module.", "_orig_mod.")
# counts how many models AveragedModel has seen
AVERAGE_COUNT = "n_averaged"
# weights of losses and metrics, which Lightning keeps beside the network's
BESIDE = ("criterion*.*", "loss*.*", "*_loss*.*", "*metric*.*", "*_acc*.*")


def trained(state: Mapping[str, Any]) -> dict[str, Any]:
    """Keys without what DataParallel, torch.compile and AveragedModel put around them."""
    found = {key.replace("_orig_mod.", ""): value for key, value in state.items()}
    if len(found) > 1:
        found.pop(AVERAGE_COUNT, None)
    while found and all(key.startswith("module.") for key in found):
        found = {key.removeprefix("module."): value for key, value in found.items()}
    return found


def strip_prefix(state: Mapping[str, Any], anchor: str) -> dict[str, Any]:
    """The part of a state_dict that belongs to the network which has the key `anchor`.

    Lightning and training scripts put `model.`, `net.`, `backbone.` and the like before all keys
    of a network, and their losses' weights beside it. Where a key ends in `.<anchor>`, the keys
    with the same prefix are taken, without it; nothing but BESIDE may be left over.

    Returns:
        The state as it is, where it has `anchor` itself, or no prefix fits.
    """
    if anchor in state:
        return dict(state)
    prefixes = {key.removesuffix(anchor) for key in state if key.endswith(f".{anchor}")}
    for prefix in sorted(prefixes, key=len):  # `bn1.bias` also ends `model.layer1.0.bn1.bias`
        rest = (key for key in state if not key.startswith(prefix))
        if all(matches(key, BESIDE) for key in rest):
            return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    return dict(state)


def matches(key: str, patterns: Iterable[str]) -> bool:
    """Whether a key fits one of the patterns (fnmatch)."""
    return any(fnmatch.fnmatch(key, pattern) for pattern in patterns)


def some(what: str, keys: list[str]) -> str:
    """`3 missing (a, b, c)`: the count, and the first few by name."""
    if not keys:
        return f"nothing {what}"
    shown = ", ".join(keys[:SHOWN_KEYS])
    return f"{len(keys)} {what} ({shown}{', ...' if len(keys) > SHOWN_KEYS else ''})"
