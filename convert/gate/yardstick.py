"""The yardstick of what INT8 may lose: what float itself loses to changes that nobody sees."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from convert.metrics import Outputs, measure
from convert.samples.sets import SampleSets
from convert.verify.parity import run_samples
from runtime.artifact.manifest import NmsConfig
from runtime.engine.session import Feeds

IMAGE = "image"  # the input of every graph that takes one photo
JPEG_QUALITY = 95

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Yardstick:
    """The metrics of the float graph against itself, under two changes of its images."""

    grey_level: Mapping[str, float]  # every value one higher
    jpeg: Mapping[str, float]  # written as JPEG of quality 95, and read again

    def to_json(self) -> Mapping[str, Any]:
        """Return the fields for the manifest."""
        return asdict(self)


def measure_yardstick(
    path: Path, samples: SampleSets, outputs: Outputs, nms: NmsConfig | None
) -> Yardstick | None:
    """Run the float graph on changed images and compare its answers with those before.

    Args:
        path: of the float graph.
        samples: of the conversion; the test samples count, and only photos have a yardstick.
        outputs: the graph's answers to them.
        nms: the settings with which a detector serves.

    Returns:
        The metrics; None if the graph takes no photo.
    """
    test = samples.test
    if set(test[0]) != {IMAGE} or test[0][IMAGE].ndim != 4:
        return None

    def compare(change: Callable[[Pixels], Pixels]) -> Mapping[str, float]:
        changed = tuple(_changed(feeds, change) for feeds in test)
        return measure(outputs, run_samples(path, changed), nms, samples.sources).metrics

    return Yardstick(compare(one_level_up), compare(through_jpeg))


def _changed(feeds: Feeds, change: Callable[[Pixels], Pixels]) -> Feeds:
    return {IMAGE: change(feeds[IMAGE][0])[np.newaxis]}


def one_level_up(image: Pixels) -> Pixels:
    """Return the image one grey level brighter; white stays."""
    return np.where(image < 255, image + np.uint8(1), image).astype(np.uint8)


def through_jpeg(image: Pixels) -> Pixels:
    """Return (H, W, C) after JPEG compression."""
    colour = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.shape[2] == 3 else image
    _, data = cv2.imencode(".jpg", colour, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    decoded = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    assert decoded is not None  # what OpenCV wrote it reads
    if image.shape[2] == 3:
        decoded = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    return np.asarray(decoded, np.uint8).reshape(image.shape)
