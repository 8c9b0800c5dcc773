"""The scale of the pixels that an image network was trained on."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from convert.errors import ConvertError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CAFFE_MEAN = (103.939, 116.779, 123.68)  # of B, G, R levels


@dataclass(frozen=True, slots=True)
class PixelScale:
    """(pixel / divisor - mean) / std, per channel in the network's order."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    divisor: Literal["255", "1"] = "255"
    channel_order: Literal["RGB", "BGR"] = "RGB"

    def arguments(self, channels: int) -> dict[str, Any]:
        """Return the fields of an `ImageInput` of 1 or 3 channels.

        Raises:
            ConvertError: the scale has three means, and the network takes one channel.
        """
        if len(self.mean) not in (1, channels):
            raise ConvertError(
                f"the input scale has {len(self.mean)} channels; the network takes {channels}"
            )
        repeats = channels // len(self.mean)
        return {
            "mean": self.mean * repeats,
            "std": self.std * repeats,
            "divisor": self.divisor,
            "channel_order": self.channel_order,
        }


# `unit`, `symmetric` ("tf"), `imagenet` ("torch") and `caffe` as keras.applications defines them
SCALES = {
    "unit": PixelScale((0.0,), (1.0,)),
    "symmetric": PixelScale((0.5,), (0.5,)),
    "raw": PixelScale((0.0,), (1.0,), divisor="1"),
    "imagenet": PixelScale(IMAGENET_MEAN, IMAGENET_STD),
    "caffe": PixelScale(CAFFE_MEAN, (1.0,) * 3, divisor="1", channel_order="BGR"),
}


def parse_scale(text: str) -> PixelScale:
    """Read the name of a scale, or "MEAN/STD" with one or three numbers each.

    Raises:
        ConvertError: it is neither.
    """
    if text in SCALES:
        return SCALES[text]
    parts = [_numbers(part) for part in text.split("/")]
    if len(parts) != 2 or not all(parts) or any(value <= 0 for value in parts[-1]):
        raise ConvertError(
            f"the input scale is {text[:60]!r}; allowed: {', '.join(SCALES)}, or mean and standard "
            "deviation of pixels in 0 to 1, one number or three each: --input-mean 0.5 "
            "--input-std 0.5"
        )
    mean, std = parts
    length = max(len(mean), len(std))
    return PixelScale(mean * (length // len(mean)), std * (length // len(std)))


def _numbers(text: str) -> tuple[float, ...]:
    """Return one or three numbers; () if the text is anything else."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        return ()
    return values if len(values) in (1, 3) and all(map(math.isfinite, values)) else ()
