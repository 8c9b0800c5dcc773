"""The yardstick of what INT8 may lose: what float itself loses to changes that nobody notices.

Each kind of media has two: the smallest step of its samples, and what everyday handling does. Texts
have none, because another letter is another text.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from convert.metrics import Outputs, measure
from convert.samples.sets import SampleSets
from convert.verify.parity import run_samples
from runtime.artifact.manifest import NmsConfig
from runtime.media.audio.decode import resample

IMAGE, FRAMES, WAVEFORM = "image", "frames", "waveform"  # inputs of graphs
JPEG_QUALITY = 95
STEP = 1 / 32768  # of sounds in 16 bits
RATE_HZ, OTHER_RATE_HZ = 16_000, 22_050  # only their ratio counts
SEED = 0x1B9

Pixels = NDArray[np.uint8]
Change = Callable[[NDArray[Any]], NDArray[Any]]  # of one medium, without its batch axis


@dataclass(frozen=True, slots=True)
class Yardstick:
    """The metrics of the float graph against itself, by the name of the change of its media."""

    changes: Mapping[str, Mapping[str, float]]  # the smallest first, the everyday one last

    @property
    def everyday(self) -> Mapping[str, float]:
        """Return what float loses to everyday handling: no bound becomes tighter."""
        return list(self.changes.values())[-1]

    def to_json(self) -> Mapping[str, Any]:
        """Return the fields for the manifest."""
        return {name: dict(metrics) for name, metrics in self.changes.items()}


def measure_yardstick(
    path: Path, samples: SampleSets, outputs: Outputs, nms: NmsConfig | None
) -> Yardstick | None:
    """Run the float graph on changed media and compare its answers with those before.

    Args:
        path: of the float graph.
        samples: of the conversion; the test samples count.
        outputs: the graph's answers to them.
        nms: the settings with which a detector serves.

    Returns:
        The metrics; None if the graph takes neither photos, clips nor sounds.
    """
    test = samples.test
    name = next(iter(test[0]))
    changes = _CHANGES.get(name)
    if changes is None:
        return None

    def compare(change: Change) -> Mapping[str, float]:
        changed = tuple({**feeds, name: change(feeds[name][0])[np.newaxis]} for feeds in test)
        return measure(outputs, run_samples(path, changed), nms, samples.sources).metrics

    return Yardstick({label: compare(change) for label, change in changes.items()})


def one_level_up(image: Pixels) -> Pixels:
    """Return the image or the frames one grey level brighter; white stays."""
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


def _frames_through_jpeg(frames: Pixels) -> Pixels:
    return np.stack([through_jpeg(frame) for frame in frames])


def one_step_of_noise(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (S,) with each sample one step of 16 bits up or down, the same at each call."""
    signs = np.random.default_rng(SEED).choice(np.array([-STEP, STEP], np.float32), waveform.shape)
    return np.clip(waveform + signs, -1, 1).astype(np.float32)


def through_another_rate(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (S,) after resampling to a higher rate and back, in 16 bits."""
    there = _in_steps(resample(waveform, RATE_HZ, OTHER_RATE_HZ))
    back = _in_steps(resample(there, OTHER_RATE_HZ, RATE_HZ))[: len(waveform)]
    return np.pad(back, (0, len(waveform) - len(back)))


def _in_steps(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    return (np.clip(waveform, -1, 1 - STEP) / STEP).round().astype(np.float32) * np.float32(STEP)


_CHANGES: Mapping[str, Mapping[str, Change]] = {
    IMAGE: {"grey_level": one_level_up, "jpeg": through_jpeg},
    FRAMES: {"grey_level": one_level_up, "jpeg": _frames_through_jpeg},
    WAVEFORM: {"noise": one_step_of_noise, "resampled": through_another_rate},
}
