"""The name of the network that a checkpoint, or the config.json beside it, states."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from convert.checkpoint.settings import setting_values

# keys under which training scripts and timm's hub save the name, `args.model` among them
ARCH_KEYS = (
    "arch", "architecture", "model_name", "backbone", "backbone_name", "encoder_name", "encoder",
    "model_arch", "model", "network", "net",
)  # fmt: skip
CONFIG = "config.json"
MAX_CONFIG_BYTES = 1_000_000


def arch_names(checkpoint: Any, *, path: Path) -> Iterator[str]:
    """Yield the names of networks in the settings of a checkpoint, then those in config.json.

    Args:
        checkpoint: the return value of `read_checkpoint`.
        path: its file; a config.json in the same folder belongs to it, as in a timm repository.
    """
    for settings in (checkpoint, config_beside(path)):
        for value in setting_values(settings, *ARCH_KEYS):
            if isinstance(value, str):
                yield value


def config_beside(path: Path) -> dict[str, Any]:
    """Return the settings in the config.json beside a file; {} if there are none."""
    config = path.with_name(CONFIG)
    try:
        if config.stat().st_size > MAX_CONFIG_BYTES:
            return {}
        settings = json.loads(config.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}  # of another tool: it states no name
    return settings if isinstance(settings, dict) else {}
