"""The foreground of an image, cut out: by a model, or by GrabCut where there is none."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np

from runtime.arrays import Image
from runtime.cutout.compose import Behind, Format, encode, limit_side
from runtime.cutout.grabcut import grabcut
from runtime.cutout.matting import Matte, clean, refine, upscale
from runtime.errors import InputError
from runtime.model import Model
from runtime.predict.prepare import load_image
from runtime.results import DEGENERATE, Alpha, Provenance

Method = Literal["auto", "model", "grabcut"]

GRABCUT = Provenance("grabcut", 1, "none", "none", "none")  # who answers where no model does
NO_MODEL = "no model is here for masks: GrabCut cut the image out, less exactly"
FELL_BACK = "the model's mask is nearly constant: GrabCut cut the image out, less exactly"
NOTHING_FOUND = "GrabCut found nothing that stands out from the border of the image"


@dataclass(frozen=True, slots=True)
class Options:
    """How the foreground is found."""

    method: Method = "auto"  # the model; GrabCut where it is absent or its mask degenerate
    max_side_px: int = 1024  # longer side of the image that edges and colours are fitted in
    refine: bool = True  # edges taken from the image, instead of the mask scaled up
    clean: bool = True  # soft pixels lose the colour of what was behind them
    max_pixels: int = 50_000_000  # of the image, where it is encoded


@dataclass(frozen=True, slots=True)
class CutOut:
    """The foreground of one image, at the size of the image."""

    foreground: Image  # (H, W, 3) RGB, meant where alpha is above zero
    alpha: Image  # (H, W), 255 is all foreground
    method: Method  # that made the mask: "model" or "grabcut"
    provenance: Provenance  # of the mask
    warnings: tuple[str, ...] = ()  # sentences, ASCII

    def encode(self, *, behind: Behind = None, form: Format = "png") -> bytes:
        """A picture file; `runtime.cutout.compose.encode` says more."""
        return encode(self.foreground, self.alpha, behind, form)

    def to_json(self) -> dict[str, Any]:
        """Size and summary; the pixels themselves travel as a picture."""
        height, width = self.alpha.shape
        return {
            "height": height,
            "width": width,
            "method": self.method,
            "foreground_fraction": float(self.alpha.mean() / 255),
            "warnings": list(self.warnings),
        }


def background(media: bytes | Image, model: Model | None, options: Options | None = None) -> CutOut:
    """Tell the foreground of an image from its background.

    Beside the image and the result, memory is that of the image at `max_side_px` and of small
    windows.

    Args:
        media: an encoded image, or (H, W, 3) uint8 RGB, which is left as it is.
        model: for image-segmentation; None where there is none.
        options: None for the defaults.

    Raises:
        InputError: no image, too large a one, a model of another task, or none although the
            method is "model".
        ModelOutputError: the model's mask holds NaN or infinity.
    """
    wanted = options or Options()
    _check_model(model, wanted.method)
    image = load_image(media, max_pixels=wanted.max_pixels)
    small = limit_side(image, wanted.max_side_px)
    matte, method, warnings = _matte(image, small, model, wanted.method)
    alpha = refine(image, matte) if wanted.refine else upscale(matte, *image.shape[:2])
    if wanted.clean:
        if image is media or image is small:  # what the caller keeps, or the means are taken from
            image = image.copy()
        clean(image, alpha, matte)
    provenance = model.provenance if model and method == "model" else GRABCUT
    return CutOut(image, alpha, method, provenance, warnings)


def _check_model(model: Model | None, method: Method) -> None:
    if model is None and method == "model":
        raise InputError("method is 'model' and there is none; allowed: auto, grabcut")
    if model is not None:
        model.require_task("image-segmentation")


def _matte(
    image: Image, small: Image, model: Model | None, method: Method
) -> tuple[Matte, Method, tuple[str, ...]]:
    """The matte, what made it, and what has to be said of it."""
    if model is None or method == "grabcut":
        return _grabcut(small, NO_MODEL if method == "auto" else None)
    mask = _mask(image, small, model)
    if not mask.degenerate:
        return Matte(small, mask.values, _cell_px(small, model)), "model", ()
    if method == "auto":
        return _grabcut(small, FELL_BACK)
    return Matte(small, mask.values, _cell_px(small, model)), "model", (DEGENERATE,)


def _mask(image: Image, small: Image, model: Model) -> Alpha:
    """What the model sees in the whole image, at the size of the small one.

    Not in the small one: shrunk twice, a photo of 3000 px got another mask (IoU 0.94).
    """
    height, width = small.shape[:2]
    mask = model.answer(replace(model.prepare(image), height=height, width=width))
    assert isinstance(mask, Alpha)  # the task's result
    return mask


def _grabcut(small: Image, reason: str | None) -> tuple[Matte, Method, tuple[str, ...]]:
    mask = grabcut(small)
    height, width = small.shape[:2]
    scaled = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
    cell_px = max(small.shape) / max(mask.shape)
    found = () if mask.any() else (NOTHING_FOUND,)
    reasons = () if reason is None else (reason,)
    matte = Matte(small, np.asarray(scaled, np.float32), cell_px)
    return matte, "grabcut", (*reasons, *found)


def _cell_px(small: Image, model: Model) -> float:
    """How many px of an image one value of the model's own mask stands for."""
    mask = next(output for output in model.spec.outputs if output.name == "alpha")
    sides = zip(small.shape[:2], mask.shape[1:], strict=True)
    # a side of any size is as long as the image's
    return float(max(1.0, *(length / cells for length, cells in sides if isinstance(cells, int))))
