"""Clips of walking people, (T, H, W, 3) uint8 RGB, each with a clinical condition or none."""

import io
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from convert.errors import VerificationError
from convert.recipe import Loaded
from convert.samples.media.modality import Modality, Warn, ignore_warning
from convert.samples.walkers import generate_clip
from runtime.artifact.conditions import Conditions, read_conditions
from runtime.artifact.manifest import CONDITIONS, SampleFrames
from runtime.engine.session import Feeds
from runtime.media.suffixes import CLIPS
from runtime.media.video.sample import sample_array, sample_frames

ENCODED_RATE_HZ = 8.0  # frames per second of an encoded clip
LOSSLESS = cv2.VideoWriter.fourcc(*"FFV1")
BLUR_PX, LEVEL_STEP = 9, np.uint8(32)  # of a simplified clip: median filter, levels merged to one
CONDITION_SEED = 0x702A  # with it, the first patient has a condition and the third has none
UNKNOWN_SHARE = 1 / 3  # of the clips have no condition
CONDITION_NUMBERS = 1 << 16  # more than a table has rows; taken modulo its length
# with 16, too few are near a boundary: top-1 agreement was 1.000 there and 0.963 on 300 others
VALIDATION_COUNT = 64


@dataclass(frozen=True, slots=True)
class GaitClip:
    """A clip and what is known about its patient."""

    # a file is decoded by `_to_feeds`, because the model decides how many frames are sampled
    media: bytes | NDArray[np.uint8]
    condition: int | None = None  # row of the model's table, modulo its length


def walkers() -> Modality:
    """Return the modality of gait clips; synthetic ones show articulated figures."""
    return Modality(
        noun="clips",
        suffixes=CLIPS,
        generate=_generate,
        read=_read,
        simplify=_simplify,
        encode=_encode,
        to_feeds=_to_feeds,
        with_condition=_with_condition,
        condition_name=_condition_name,
        validation_count=VALIDATION_COUNT,
    )


def _generate(split: int, count: int) -> list[GaitClip]:
    return [_with_condition(GaitClip(generate_clip(split, i).frames), i) for i in range(count)]


def _with_condition(clip: GaitClip, number: int) -> GaitClip:
    """Set the condition that patient `number` has: the same one every time, or none."""
    rng = np.random.default_rng((CONDITION_SEED, number))
    has_condition = rng.random() >= UNKNOWN_SHARE
    return replace(clip, condition=int(rng.integers(CONDITION_NUMBERS)) if has_condition else None)


def _condition_name(clip: GaitClip, loaded: Loaded) -> str | None:
    """Return the name of the clip's condition; None also for a model without a table."""
    table = _read_table(loaded)
    if table is None or clip.condition is None:
        return None
    return table.names[clip.condition % len(table.names)]


def _simplify(clip: GaitClip) -> GaitClip:
    smooth = [cv2.medianBlur(frame, BLUR_PX) for frame in _frames(clip)]
    frames = np.stack(smooth).astype(np.uint8, copy=False)
    return replace(clip, media=frames // LEVEL_STEP * LEVEL_STEP)


def _frames(clip: GaitClip) -> NDArray[np.uint8]:
    assert not isinstance(clip.media, bytes)  # only synthetic clips are simplified and encoded
    return clip.media


def _encode(clip: GaitClip) -> bytes:
    """Encode losslessly: FFV1 in AVI."""
    frames = _frames(clip)
    height, width = frames.shape[1:3]
    with tempfile.TemporaryDirectory(prefix="slipway-") as directory:
        path = Path(directory, "walk.avi")
        size = (width, height)
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, LOSSLESS, ENCODED_RATE_HZ, size)
        if not writer.isOpened():
            raise VerificationError("OpenCV cannot write FFV1 in AVI")
        for frame in frames:
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        writer.release()
        return path.read_bytes()


def _read(data: bytes, warn: Warn = ignore_warning) -> GaitClip:
    del warn  # the clip is decoded later
    return GaitClip(data)


def _to_feeds(clip: GaitClip, loaded: Loaded, warn: Warn = ignore_warning) -> Feeds:
    step = loaded.preprocess[0]
    assert isinstance(step, SampleFrames)  # the spec of video-classification begins with it
    steps = loaded.preprocess
    if isinstance(clip.media, bytes):
        sampled = sample_frames(clip.media, count=step.count, steps=steps)
        frames = sampled.frames
        for warning in sampled.warnings:
            warn(warning)
    else:
        frames = sample_array(clip.media, count=step.count, steps=steps).frames
    frames_tensor, *condition_tensors = loaded.input.tensors
    feeds: dict[str, NDArray[np.generic]] = {frames_tensor.name: frames[np.newaxis]}
    for tensor in condition_tensors:
        embedding = np.zeros(int(tensor.shape[1]), np.float32)
        name, table = _condition_name(clip, loaded), _read_table(loaded)
        if name is not None and table is not None:
            embedding = table.embed(name)
        feeds[tensor.name] = embedding[np.newaxis]
    return feeds


def _read_table(loaded: Loaded) -> Conditions | None:
    """Return the model's table of conditions; None: it has none."""
    content = loaded.assets.get(CONDITIONS)
    if content is None:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        width = arrays["embeddings"].shape[1]
    return read_conditions(content, "the table of conditions", width=width)
