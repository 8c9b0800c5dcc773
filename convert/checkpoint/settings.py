"""Settings that training scripts save with the weights, at the top level or in a dict of theirs."""

from collections.abc import Iterator, Mapping
from typing import Any

# keys under which scripts keep a dict of settings
SETTINGS_KEYS = ("config", "hyper_parameters", "hparams", "args", "meta")


def settings_dicts(checkpoint: Any) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Yield the checkpoint itself and the dicts of settings in it, each with its key's prefix.

    Args:
        checkpoint: the return value of `read_checkpoint`.

    Yields:
        ("", the checkpoint), ("config.", its "config"), ...; nothing if it is no mapping.
    """
    if isinstance(checkpoint, Mapping):
        yield "", checkpoint
        for key in SETTINGS_KEYS:
            if isinstance(checkpoint.get(key), Mapping):
                yield f"{key}.", checkpoint[key]


def setting_values(checkpoint: Any, *names: str) -> Iterator[Any]:
    """Yield the values of the settings `names`, the top level first; None counts as no value."""
    for _, settings in settings_dicts(checkpoint):
        yield from (settings[name] for name in names if settings.get(name) is not None)
