"""The steps a spec may list: a closed vocabulary.

What they do: `runtime.media.images.preprocess`, `runtime.media.audio.decode`,
`runtime.media.video.sample` and `runtime.media.text.wordpiece`.
"""

from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True, slots=True)
class Resample:
    """Sound to one channel at this rate: the mean of the channels, then soxr's HQ filter."""

    sampling_rate: int  # Hz
    op: Literal["resample"] = "resample"


@dataclass(frozen=True, slots=True)
class SampleFrames:
    """Frames spread evenly over a clip, its first and its last among them.

    Frame i is number int(i * (n - 1) / (count - 1)) of n; a clip of fewer gives all of its own in
    order and repeats the last. The steps after it are applied to each frame.
    """

    count: int
    op: Literal["sample_frames"] = "sample_frames"


@dataclass(frozen=True, slots=True)
class Tokenize:
    """Text to the ids of BERT's WordPiece, by the version's asset "vocabulary"."""

    max_length: int  # tokens, [CLS] and [SEP] among them; a longer text is cut
    lowercase: bool  # also takes accents off
    op: Literal["tokenize"] = "tokenize"


ImageStep = Resize | Letterbox | CenterCrop | Grayscale
Step = ImageStep | Resample | SampleFrames | Tokenize

_LIMITS: Mapping[str, tuple[int, int, str]] = {  # of numbers, in whichever step they stand
    "height": (1, 8192, " px"),
    "width": (1, 8192, " px"),
    "shortest_side": (1, 8192, " px"),
    "fill": (0, 255, ""),
    "sampling_rate": (1000, 192_000, " Hz"),
    "count": (1, 256, " frames"),
    "max_length": (3, 8192, " tokens"),
}


def image_steps(steps: Sequence[Step]) -> tuple[ImageStep, ...]:
    """Those that are done to one picture: all of an image task's, and each frame's of a video."""
    return tuple(step for step in steps if isinstance(step, ImageStep))


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
    for name, (smallest, largest, unit) in _LIMITS.items():
        value = getattr(step, name, None)
        if value is not None and not smallest <= value <= largest:
            allowed = f"{smallest} to {largest}{unit}"
            raise ArtifactError(f"{where}.{name} is {value}; allowed: {allowed}")
