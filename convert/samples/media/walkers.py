"""Walkers: clips (T, H, W, 3) uint8 RGB, each with what is known about the patient."""

import io
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from convert.errors import VerificationError
from convert.recipe import Loaded
from convert.samples.media.modality import Modality
from convert.samples.walkers import generate_clip
from runtime.artifact.conditions import Conditions, read_conditions
from runtime.artifact.manifest import CONDITIONS, SampleFrames
from runtime.engine.session import Feeds
from runtime.media.suffixes import CLIPS
from runtime.media.video.sample import sample_array, sample_frames

RATE_HZ = 8.0  # frames per second of a written clip
LOSSLESS = cv2.VideoWriter.fourcc(*"FFV1")
PLAIN_BLUR, PLAIN_STEP = 9, np.uint8(32)  # px; levels that become one
SEED = 0x702A  # of what is known about whom: something about the first, nothing about the third
UNKNOWN = 1 / 3  # share of walkers about whom nothing is known
MOST = 1 << 16  # conditions of a table, and more
VALIDATION_COUNT = (
    64  # of 16, those near a boundary are too few: 1.000 there was 0.963 on 300 others
)


@dataclass(frozen=True, slots=True)
class GaitClip:
    """One clip."""

    # a file is left to `_sample`: how many frames are taken of it, the model says
    media: bytes | NDArray[np.uint8]
    condition: int | None = None  # number in the model's table, from its start again at its end


def walkers() -> Modality:
    """Clips of people who walk: what is drawn where nobody gave any."""
    return Modality(
        noun="clips",
        suffixes=CLIPS,
        generate=_generate,
        read=GaitClip,
        simplify=_simplify,
        encode=_encode,
        to_feeds=_to_feeds,
        with_condition=_with_condition,
        condition_name=_condition_name,
        validation_count=VALIDATION_COUNT,
    )


def _generate(split: int, count: int) -> list[GaitClip]:
    return [
        _with_condition(GaitClip(generate_clip(split, index).frames), index)
        for index in range(count)
    ]


def _with_condition(walk: GaitClip, number: int) -> GaitClip:
    rng = np.random.default_rng((SEED, number))
    known = rng.random() >= UNKNOWN
    return replace(walk, condition=int(rng.integers(MOST)) if known else None)


def _condition_name(walk: GaitClip, loaded: Loaded) -> str | None:
    known = _known(loaded)
    if known is None or walk.condition is None:
        return None
    return known.names[walk.condition % len(known.names)]


def _simplify(walk: GaitClip) -> GaitClip:
    smooth = [cv2.medianBlur(frame, PLAIN_BLUR) for frame in _drawn(walk)]
    still = np.stack(smooth).astype(np.uint8, copy=False)
    return replace(walk, media=still // PLAIN_STEP * PLAIN_STEP)


def _drawn(walk: GaitClip) -> NDArray[np.uint8]:
    assert not isinstance(walk.media, bytes)  # only drawings are written or made plainer
    return walk.media


def _encode(walk: GaitClip) -> bytes:
    frames = _drawn(walk)
    height, width = frames.shape[1:3]
    with tempfile.TemporaryDirectory(prefix="slipway-") as directory:
        path = Path(directory, "walk.avi")
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, LOSSLESS, RATE_HZ, (width, height))
        if not writer.isOpened():
            raise VerificationError("OpenCV cannot write FFV1 in AVI")
        for frame in frames:
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        writer.release()
        return path.read_bytes()


def _to_feeds(walk: GaitClip, loaded: Loaded) -> Feeds:
    step = loaded.preprocess[0]
    assert isinstance(step, SampleFrames)  # the spec of video-classification allows no other
    steps = loaded.preprocess
    if isinstance(walk.media, bytes):
        frames = sample_frames(walk.media, count=step.count, steps=steps).frames
    else:
        frames = sample_array(walk.media, count=step.count, steps=steps).frames
    tensors = loaded.input.tensors
    feeds: dict[str, NDArray[np.generic]] = {tensors[0].name: frames[np.newaxis]}
    for tensor in tensors[1:]:
        vector = np.zeros(int(tensor.shape[1]), np.float32)
        name = _condition_name(walk, loaded)
        if name is not None and (known := _known(loaded)) is not None:
            vector = known.embed(name)
        feeds[tensor.name] = vector[np.newaxis]
    return feeds


def _known(loaded: Loaded) -> Conditions | None:
    content = loaded.assets.get(CONDITIONS)
    if content is None:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        width = arrays["embeddings"].shape[1]
    return read_conditions(content, "the table of conditions", width=width)
