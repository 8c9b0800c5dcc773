"""The preprocessing steps that a spec may list.

They are carried out by `runtime.media.images.preprocess`, `runtime.media.audio.decode`,
`runtime.media.video.sample` and `runtime.media.text.wordpiece`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from runtime.errors import ArtifactError

# OpenCV's terms; then PIL's filters, which torchvision and timm use; linear_antialias is close to
# pil_bilinear
Interpolation = Literal[
    "nearest", "linear", "area", "cubic", "lanczos4",
    "pil_bilinear", "pil_bicubic", "linear_antialias",
]  # fmt: skip
Align = Literal["center", "top_left"]


@dataclass(frozen=True, slots=True)
class Resize:
    """Scale to a fixed size, or until the shorter side has a length (this keeps the aspect ratio).

    A step has either `height` and `width`, or `shortest_side`.
    """

    interpolation: Interpolation
    height: int | None = None  # px
    width: int | None = None  # px
    shortest_side: int | None = None  # px; the longer side is truncated as in torchvision
    op: Literal["resize"] = "resize"


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Scale an image until it fits into (height, width), and fill the rest of the canvas."""

    height: int  # px
    width: int  # px
    interpolation: Interpolation
    fill: int = 114  # grey level 0-255 of all channels; 114 is what YOLO is trained with
    align: Align = "center"  # the place of the image on the canvas
    enlarge: bool = True  # False: a smaller image keeps its size
    op: Literal["letterbox"] = "letterbox"


@dataclass(frozen=True, slots=True)
class CenterCrop:
    """Cut the middle out of an image; an image smaller than the crop is refused."""

    height: int  # px
    width: int  # px
    op: Literal["center_crop"] = "center_crop"


@dataclass(frozen=True, slots=True)
class Grayscale:
    """Convert RGB to one channel, by the weights 0.299, 0.587, 0.114 of ITU-R BT.601."""

    op: Literal["grayscale"] = "grayscale"


@dataclass(frozen=True, slots=True)
class Resample:
    """Convert a sound to one channel at a rate: the mean of the channels, then soxr's HQ filter."""

    sampling_rate: int  # Hz
    op: Literal["resample"] = "resample"


@dataclass(frozen=True, slots=True)
class SampleFrames:
    """Take frames at even distances from a clip, the first and the last included.

    Frame i is number int(i * (n - 1) / (count - 1)) of n. A clip with fewer frames than `count`
    repeats its last frame. The steps after this one are applied to each frame.
    """

    count: int
    op: Literal["sample_frames"] = "sample_frames"


@dataclass(frozen=True, slots=True)
class Tokenize:
    """Convert text to BERT's WordPiece ids, by the version's asset "vocabulary"."""

    max_length: int  # tokens, including [CLS] and [SEP]; a longer text is truncated
    lowercase: bool  # True: also remove accents
    op: Literal["tokenize"] = "tokenize"


ImageStep = Resize | Letterbox | CenterCrop | Grayscale
Step = ImageStep | Resample | SampleFrames | Tokenize

_LIMITS: Mapping[str, tuple[int, int, str]] = {  # of a field, in every step that has it
    "height": (1, 8192, " px"),
    "width": (1, 8192, " px"),
    "shortest_side": (1, 8192, " px"),
    "fill": (0, 255, ""),
    "sampling_rate": (1000, 192_000, " Hz"),
    "count": (1, 256, " frames"),
    "max_length": (3, 8192, " tokens"),
}


def image_steps(steps: Sequence[Step]) -> tuple[ImageStep, ...]:
    """Return the steps that work on one image: all steps of an image task, and those of frames."""
    return tuple(step for step in steps if isinstance(step, ImageStep))


def check_step(step: Step, where: str) -> None:
    """Refuse a step that contradicts itself or has a number out of range.

    Raises:
        ArtifactError: naming the field; the message begins with `where`.
    """
    if isinstance(step, Resize):
        fixed = step.height is not None and step.width is not None and step.shortest_side is None
        proportional = step.height is None and step.width is None and step.shortest_side is not None
        if not fixed and not proportional:
            raise ArtifactError(f"{where}: resize takes height and width, or shortest_side")
    for name, (smallest, largest, unit) in _LIMITS.items():
        value = getattr(step, name, None)
        if value is not None and not smallest <= value <= largest:
            allowed = f"{smallest} to {largest}{unit}"
            raise ArtifactError(f"{where}.{name} is {value}; allowed: {allowed}")
