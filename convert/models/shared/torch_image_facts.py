"""Facts around a torch network of photos that are in no tensor: scale of pixels, and resizing.

Each fact is read from the settings that timm keeps with a network, else stated by an option, else
assumed with a warning.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from convert.authoring import Assumption, CenterCrop, ImageSettings, Loaded, Resize

SCALE, SIZE, RESIZE = "input_scale", "input_size", "resize"  # names of facts, and of options
DEFAULT_SCALE = "imagenet"  # of torchvision's and most of timm's weights
PIL_FILTERS: Mapping[str, Literal["pil_bilinear", "pil_bicubic"]] = {  # by timm's names
    "bicubic": "pil_bicubic",
    "bilinear": "pil_bilinear",
}


def scale_fact(
    settings: ImageSettings, path: Path, *, stated: str | None, sha256_prefix: str | None = None
) -> Assumption:
    """Return the scale of pixels: by `--input-scale`, the file's settings, its hash, or assumed.

    Args:
        settings: of the file.
        path: the file.
        stated: the value of the option; None: not stated.
        sha256_prefix: of a published file that is trained on DEFAULT_SCALE.
    """
    if stated is not None:
        return Assumption(SCALE, stated, "option", f"pixels are scaled by --input-scale {stated}")
    if settings.scale is not None:
        return Assumption(SCALE, settings.scale, "file", "mean and deviation stand in the file")
    if sha256_prefix is not None:
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        if sha256.startswith(sha256_prefix):
            return Assumption(SCALE, DEFAULT_SCALE, "file", "torchvision's published weights")
    return Assumption(
        SCALE,
        DEFAULT_SCALE,
        "default",
        "the file does not tell the mean and deviation of pixels that training used; assumed: "
        "ImageNet's. State them: --input-scale imagenet, unit, symmetric or raw, or --input-mean "
        "and --input-std",
    )


def with_timms_resizing(
    loaded: Loaded, settings: ImageSettings, *, in_words: str, is_timms: bool, follows: bool = True
) -> Loaded:
    """Return a model that resizes as timm's settings say, or as it does, with a warning.

    Args:
        loaded: the model.
        settings: of the file.
        in_words: how the model resizes by itself.
        is_timms: the network has timm's names, and its settings may be lost.
        follows: False: the settings may be those of another training, so warn.
    """
    if settings.interpolation is None and not is_timms:
        return loaded
    shape = loaded.input.tensors[0].shape
    interpolation = PIL_FILTERS.get(settings.interpolation or "")
    is_sides = shape[1] == shape[2] and settings.side in (None, shape[1])
    if follows and is_sides and interpolation is not None and settings.crop is not None:
        side = int(shape[1])
        fact = Assumption(RESIZE, f"{interpolation} {settings.crop:g}", "file", "as timm resizes")
        resized_px = math.floor(side / settings.crop)
        steps = (Resize(interpolation, shortest_side=resized_px), CenterCrop(side, side))
        return replace(loaded, preprocess=steps, assumptions=(*loaded.assumptions, fact))
    theirs = settings.resizing or "bicubic, and cuts out the middle"
    sentence = (
        f"timm resizes photos for this network otherwise ({theirs}); the model {in_words}. If "
        "training resized as timm does, answers differ a little: write a recipe of your own "
        "(convert/README.md)"
    )
    warning = Assumption(RESIZE, "pil_bilinear", "default", sentence)
    return replace(loaded, assumptions=(*loaded.assumptions, warning))
