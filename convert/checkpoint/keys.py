"""Keys of a state_dict: remove what training tools put around a network's own names."""

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any

SHOWN_KEYS = 4
# AveragedModel's count of the models that it has averaged
AVERAGE_COUNT = "n_averaged"
# patterns of the weights of losses and metrics, which Lightning keeps with the network's
LOSS_KEYS = ("criterion*.*", "loss*.*", "*_loss*.*", "*metric*.*", "*_acc*.*")


def strip_wrappers(state: Mapping[str, Any]) -> dict[str, Any]:
    """Remove what DataParallel, torch.compile and AveragedModel add to keys and to the dict."""
    stripped = {key.replace("_orig_mod.", ""): value for key, value in state.items()}
    if len(stripped) > 1:
        stripped.pop(AVERAGE_COUNT, None)
    while stripped and all(key.startswith("module.") for key in stripped):
        stripped = {key.removeprefix("module."): value for key, value in stripped.items()}
    return stripped


def strip_prefix(state: Mapping[str, Any], marker_key: str) -> dict[str, Any]:
    """Return the part of a state_dict that belongs to the network which has `marker_key`.

    Lightning and training scripts put `model.`, `net.`, `backbone.` and the like before all keys
    of a network, and keep the weights of losses in the same dict. If a key ends in
    `.<marker_key>`, this function takes the keys with the same prefix, without it. It takes no
    prefix that would leave keys other than LOSS_KEYS behind.

    Returns:
        The state unchanged if it has `marker_key` itself, or if no prefix fits.
    """
    if marker_key in state:
        return dict(state)
    prefixes = {key.removesuffix(marker_key) for key in state if key.endswith(f".{marker_key}")}
    # shortest first: `bn1.bias` also ends `model.layer1.0.bn1.bias`
    for prefix in sorted(prefixes, key=len):
        rest = (key for key in state if not key.startswith(prefix))
        if all(matches(key, LOSS_KEYS) for key in rest):
            return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    return dict(state)


def matches(key: str, patterns: Iterable[str]) -> bool:
    """Return whether a key fits one of the patterns (fnmatch)."""
    return any(fnmatch.fnmatch(key, pattern) for pattern in patterns)


def summarize_keys(adjective: str, keys: list[str]) -> str:
    """Return `3 missing (a, b, c)`: the count, the adjective and the first few keys."""
    if not keys:
        return f"nothing {adjective}"
    listing = ", ".join(keys[:SHOWN_KEYS])
    return f"{len(keys)} {adjective} ({listing}{', ...' if len(keys) > SHOWN_KEYS else ''})"
