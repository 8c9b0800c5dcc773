"""The preprocessing of images that timm keeps with a network: `pretrained_cfg`, `default_cfg`.

A training checkpoint may hold it, a whole module of timm does, and so does the config.json of a
timm repository.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.checkpoint.arch_names import config_beside
from convert.checkpoint.settings import setting_values

KEYS = ("pretrained_cfg", "default_cfg", "data_config")


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """Preprocessing as a file states it; None: it does not say."""

    scale: str | None = None  # "MEAN/STD", as `--input-scale` is read
    side: int | None = None  # px, of the square that the network sees
    resizing: str | None = None  # in words: "bicubic, of which 0.875 is cut out"


def image_settings(checkpoint: Any, *, path: Path) -> ImageSettings:
    """Return the preprocessing that a checkpoint or the config.json beside it states.

    Values of another form count as not stated.

    Args:
        checkpoint: the return value of `read_checkpoint`.
        path: its file.
    """
    config = next(_configs(checkpoint, path), {})
    mean, std = (_channels(config.get(name)) for name in ("mean", "std"))
    is_scaled = mean is not None and std is not None and all(value > 0 for value in std)
    return ImageSettings(
        scale=f"{_text(mean)}/{_text(std)}" if is_scaled and mean and std else None,
        side=_side(config.get("input_size")),
        resizing=_resizing(config),
    )


def _configs(checkpoint: Any, path: Path) -> Iterator[Mapping[Any, Any]]:
    for settings in (checkpoint, config_beside(path)):
        for value in setting_values(settings, *KEYS):
            if isinstance(value, Mapping):
                yield value


def _channels(value: Any) -> tuple[float, ...] | None:
    """Return three finite numbers, or None."""
    if not isinstance(value, list | tuple) or len(value) != 3:
        return None
    if not all(type(item) in (int, float) and math.isfinite(item) for item in value):
        return None
    return tuple(map(float, value))


def _text(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)


def _side(value: Any) -> int | None:
    is_square = isinstance(value, list | tuple) and len(value) == 3 and value[1] == value[2]
    return value[2] if is_square and type(value[2]) is int else None


def _resizing(config: Mapping[Any, Any]) -> str | None:
    """Return interpolation and crop in words; None if the settings name neither."""
    interpolation, share = config.get("interpolation"), config.get("crop_pct")
    if not isinstance(interpolation, str):
        return None
    words = interpolation[:20]
    return f"{words}, and cuts out {share:g} of the side" if type(share) is float else words
