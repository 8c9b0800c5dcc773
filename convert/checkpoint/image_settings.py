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
DEFAULT_CROP = 0.875  # timm's, of settings that name none


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """Preprocessing as a file states it; None: it does not say."""

    scale: str | None = None  # "MEAN/STD", as `--input-scale` is read
    side: int | None = None  # px, of the square that the network sees
    resizing: str | None = None  # in words: "bicubic, of which 0.875 is cut out"
    interpolation: str | None = None  # timm's name: "bicubic"
    crop: float | None = None  # share of the side that the middle keeps; None: cropped otherwise
    is_beside: bool = False  # they stand in a config.json, which tells how to run the network


def image_settings(checkpoint: Any, *, path: Path) -> ImageSettings:
    """Return the preprocessing that a checkpoint or the config.json beside it states.

    Values of another form count as not stated.

    Args:
        checkpoint: the return value of `read_checkpoint`.
        path: its file.
    """
    config, is_beside = next(_configs(checkpoint, path), ({}, False))
    mean, std = (_channels(config.get(name)) for name in ("mean", "std"))
    is_scaled = mean is not None and std is not None and all(value > 0 for value in std)
    return ImageSettings(
        scale=f"{_text(mean)}/{_text(std)}" if is_scaled and mean and std else None,
        side=_side(config.get("input_size")),
        resizing=_resizing(config),
        interpolation=_interpolation(config),
        crop=_crop(config),
        is_beside=is_beside,
    )


def _configs(checkpoint: Any, path: Path) -> Iterator[tuple[Mapping[Any, Any], bool]]:
    """Yield timm's settings, and whether they stand in the config.json."""
    for settings, is_beside in ((checkpoint, False), (config_beside(path), True)):
        for value in setting_values(settings, *KEYS):
            if isinstance(value, Mapping):
                yield value, is_beside


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
    words, share = _interpolation(config), config.get("crop_pct")
    if words is None:
        return None
    return f"{words}, and cuts out {share:g} of the side" if type(share) is float else words


def _interpolation(config: Mapping[Any, Any]) -> str | None:
    interpolation = config.get("interpolation")
    return interpolation[:20] if isinstance(interpolation, str) else None


def _crop(config: Mapping[Any, Any]) -> float | None:
    share = config.get("crop_pct") or DEFAULT_CROP
    is_share = type(share) in (int, float) and 0.1 <= share <= 1
    return float(share) if is_share and config.get("crop_mode") in (None, "center") else None
