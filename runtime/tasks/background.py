"""Cut the foreground of an image out: by a segmentation model, or by GrabCut without one."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np

from runtime.arrays import Image
from runtime.cutout.compose import Backdrop, Format, encode, limit_side, multiply_alpha
from runtime.cutout.grabcut import grabcut
from runtime.cutout.matting import Matte, clean, refine, upscale
from runtime.errors import InputError
from runtime.media.images.decode import Photo
from runtime.model import Model
from runtime.predict.prepare import load_image
from runtime.results import DEGENERATE, Alpha, Provenance

Method = Literal["auto", "model", "grabcut"]

SIDES_PX = (32, 8192)  # least and most of `Options.max_side_px`

GRABCUT = Provenance("grabcut", 1, "none", "none", "none")  # of a mask that no model computed
NO_MODEL = "no segmentation model is loaded: used GrabCut, which is less accurate"
FELL_BACK = "the model's mask is nearly constant: used GrabCut, which is less accurate"
NOTHING_FOUND = "GrabCut found nothing that stands out from the border of the image"


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `background`."""

    method: Method = "auto"  # the model; GrabCut if it is absent or its mask is degenerate
    max_side_px: int = 1024  # longer side of the image that edges and colours are fitted in
    refine: bool = True  # fit the edges to the image; False: scale the mask up
    clean: bool = True  # remove the old background's colour from soft pixels
    max_pixels: int = 50_000_000  # of an encoded image


@dataclass(frozen=True, slots=True)
class CutOut:
    """The foreground of one image, at the size of the image."""

    foreground: Image  # (H, W, 3) RGB, valid where alpha is above 0
    alpha: Image  # (H, W), 255 is all foreground
    method: Method  # that computed the mask: "model" or "grabcut"
    provenance: Provenance  # of the mask
    warnings: tuple[str, ...] = ()  # sentences, ASCII

    def encode(self, *, backdrop: Backdrop = None, form: Format = "png") -> bytes:
        """Encode the cut-out as an image file; see `runtime.cutout.compose.encode`."""
        return encode(self.foreground, self.alpha, backdrop, form)

    def to_json(self) -> dict[str, Any]:
        """Return the size and a summary; the pixels are sent as an image."""
        height, width = self.alpha.shape
        return {
            "height": height,
            "width": width,
            "method": self.method,
            "foreground_fraction": float(self.alpha.mean() / 255),
            "warnings": list(self.warnings),
        }


def backdrop_of(photo: Photo) -> Image:
    """Return a photo as a backdrop: (h, w, 3) RGB, or (h, w, 4) if it has transparent parts."""
    return photo.pixels if photo.alpha is None else np.dstack([photo.pixels, photo.alpha])


def background(
    media: bytes | Photo | Image, model: Model | None, options: Options | None = None
) -> CutOut:
    """Separate the foreground of an image from its background.

    Besides the image and the result, this takes the memory of the image at `max_side_px` and of
    small tiles.

    Args:
        media: an encoded image, whose own transparency stays; or decoded: a Photo, or (H, W, 3)
            uint8 RGB. Decoded pixels are not changed.
        model: for image-segmentation; None if there is none.
        options: None for the defaults.

    Raises:
        InputError: the image cannot be decoded or is too large, the model is for another task, or
            the method is "model" and there is none.
        ModelOutputError: the model's mask holds NaN or infinity.
    """
    options = options or Options()
    _check_model(model, options.method)
    photo = load_image(media, max_pixels=options.max_pixels, with_alpha=True)
    image = photo.pixels
    small = limit_side(image, options.max_side_px)
    matte, method, warnings = _matte(image, small, model, options.method)
    alpha = refine(image, matte) if options.refine else upscale(matte, *image.shape[:2])
    if options.clean:
        # `clean` writes into its image: neither the caller's nor the one that it takes means from
        if not isinstance(media, bytes) or image is small:
            image = image.copy()
        clean(image, alpha, matte)
    if photo.alpha is not None:
        alpha = multiply_alpha(alpha, photo.alpha)
    provenance = model.provenance if model and method == "model" else GRABCUT
    return CutOut(image, alpha, method, provenance, (*photo.warnings, *warnings))


def _check_model(model: Model | None, method: Method) -> None:
    if model is None and method == "model":
        raise InputError("method is 'model' and there is none; allowed: auto, grabcut")
    if model is not None:
        model.require_task("image-segmentation")


def _matte(
    image: Image, small: Image, model: Model | None, method: Method
) -> tuple[Matte, Method, tuple[str, ...]]:
    """Return the matte, the method that computed it, and warnings."""
    if model is None or method == "grabcut":
        return _matte_by_grabcut(small, NO_MODEL if method == "auto" else None)
    mask = _mask(image, small, model)
    if not mask.degenerate:
        return Matte(small, mask.values, _cell_px(small, model)), "model", ()
    if method == "auto":
        return _matte_by_grabcut(small, FELL_BACK)
    return Matte(small, mask.values, _cell_px(small, model)), "model", (DEGENERATE,)


def _mask(image: Image, small: Image, model: Model) -> Alpha:
    """Run the model on the whole image and return its mask at the size of the small one.

    On the small image, a photo of 3000 px, scaled down twice, got another mask (IoU 0.94).
    """
    height, width = small.shape[:2]
    mask = model.answer(replace(model.prepare(image), height=height, width=width))
    assert isinstance(mask, Alpha)  # the result of this task
    return mask


def _matte_by_grabcut(small: Image, reason: str | None) -> tuple[Matte, Method, tuple[str, ...]]:
    mask = grabcut(small)
    height, width = small.shape[:2]
    scaled = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
    cell_px = max(small.shape) / max(mask.shape)
    reasons = () if reason is None else (reason,)
    warnings = reasons if mask.any() else (*reasons, NOTHING_FOUND)
    return Matte(small, np.asarray(scaled, np.float32), cell_px), "grabcut", warnings


def _cell_px(small: Image, model: Model) -> float:
    """Return the side in px of the square of `small` that one value of the mask covers."""
    mask = next(output for output in model.spec.outputs if output.name == "alpha")
    sides = zip(small.shape[:2], mask.shape[1:], strict=True)
    # an axis of any size has one value per px
    return float(max(1.0, *(length / cells for length, cells in sides if isinstance(cells, int))))
