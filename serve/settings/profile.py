"""The frugal profile: other defaults where memory is short."""

from collections.abc import Mapping
from typing import Any

from serve.settings.kinds import SWITCH, Selection

CONSTRAINED = "MEMORY_CONSTRAINED"  # of earlier deployments: 0 or 1
RAILWAY = "RAILWAY_ENVIRONMENT_NAME"  # that platform sets it: any text

# by field of the settings. A variable that is set has priority
FRUGAL: Mapping[str, Any] = {
    "background_model": "background_u2netp",  # 4 MB of weights in place of 176
    "runs": 1,
    "decoders": 1,
    "lazy": Selection(every=True),
    "idle_s": 900,
    "max_pixels": 12_500_000,  # a photo of a phone, 4032 x 3024
    "max_audio_s": 120,
    "max_video_s": 30,
    "max_files": 4,
    "cache_mib": 16,
}


def is_frugal(environ: Mapping[str, str]) -> bool:
    """Return whether the environment chooses the frugal profile.

    `MEMORY_CONSTRAINED=0` keeps it off on every platform.

    Raises:
        SettingsError: `MEMORY_CONSTRAINED` is neither 0 nor 1.
    """
    text = environ.get(CONSTRAINED)
    if text:
        return bool(SWITCH.read(CONSTRAINED, text))
    return bool(environ.get(RAILWAY))
