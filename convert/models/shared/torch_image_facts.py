"""Facts around a torch network of photos that are in no tensor: scale of pixels, and resizing.

Each fact is read from the settings that timm keeps with a network, else stated by an option, else
assumed with a warning.
"""

import hashlib
from pathlib import Path

from convert.authoring import Assumption, ImageSettings

SCALE, SIZE, RESIZE = "input_scale", "input_size", "resize"  # names of facts, and of options
DEFAULT_SCALE = "imagenet"  # of torchvision's and most of timm's weights


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


def resize_facts(settings: ImageSettings, ours: str, *, is_timms: bool) -> tuple[Assumption, ...]:
    """Return the warning that timm resizes otherwise than the model, if it does.

    Args:
        settings: of the file.
        ours: how the model resizes, in words.
        is_timms: the network has timm's names, and its settings may be lost.
    """
    if settings.resizing is None and not is_timms:
        return ()
    theirs = settings.resizing or "bicubic, and cuts out the middle"
    sentence = (
        f"timm resizes photos for this network otherwise ({theirs}); the model {ours}. If training "
        "resized as timm does, answers differ a little: write a recipe of your own "
        "(convert/README.md)"
    )
    return (Assumption(RESIZE, "linear_antialias", "default", sentence),)
