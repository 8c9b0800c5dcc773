"""The geometric steps a spec may list: a closed vocabulary. What they do: `runtime.preprocess`."""

from dataclasses import dataclass
from typing import Literal

from runtime.errors import ArtifactError

Interpolation = Literal["nearest", "linear", "area", "cubic", "lanczos4", "linear_antialias"]
Align = Literal["center", "top_left"]


@dataclass(frozen=True, slots=True)
class Resize:
    """Scale to a fixed size (aspect ratio not kept), or until the shorter side fits (kept).

    Exactly one of the two forms: `height` and `width`, or `shortest_side`.
    """

    interpolation: Interpolation  # OpenCV's terms; linear_antialias is what torchvision and PIL do
    height: int | None = None  # px
    width: int | None = None  # px
    shortest_side: int | None = None  # px; the longer side is truncated to whole px as torchvision
    op: Literal["resize"] = "resize"


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Scale until the image just fits into (height, width), and fill what is left."""

    height: int  # px
    width: int  # px
    interpolation: Interpolation
    fill: int = 114  # grey level 0-255 of all channels; 114 is what YOLO is trained with
    align: Align = "center"  # where the image lies on the canvas
    enlarge: bool = True  # False: a smaller image keeps its size
    op: Literal["letterbox"] = "letterbox"


@dataclass(frozen=True, slots=True)
class CenterCrop:
    """Cut the middle out; an image smaller than the crop is refused."""

    height: int  # px
    width: int  # px
    op: Literal["center_crop"] = "center_crop"


@dataclass(frozen=True, slots=True)
class Grayscale:
    """RGB to one channel, weights 0.299, 0.587, 0.114 (ITU-R BT.601, as OpenCV and PIL)."""

    op: Literal["grayscale"] = "grayscale"


Step = Resize | Letterbox | CenterCrop | Grayscale


def check_step(step: Step, where: str) -> None:
    """Refuse a step that contradicts itself, or asks for sizes out of range.

    Raises:
        ArtifactError: the message begins with `where`.
    """
    if isinstance(step, Resize):
        fixed = step.height is not None and step.width is not None and step.shortest_side is None
        kept = step.height is None and step.width is None and step.shortest_side is not None
        if not fixed and not kept:
            raise ArtifactError(f"{where}: resize takes height and width, or shortest_side")
    sizes = {n: getattr(step, n, None) for n in ("height", "width", "shortest_side")}
    for name, size in sizes.items():
        if size is not None and not 1 <= size <= 8192:
            raise ArtifactError(f"{where}.{name} is {size}; allowed: 1 to 8192 px")
    if isinstance(step, Letterbox) and not 0 <= step.fill <= 255:
        raise ArtifactError(f"{where}.fill is {step.fill}; allowed: 0 to 255")
