"""The job of `runtime.media.video.sample.sample_frames`: its request and its answer on the wire."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

import cv2

from runtime.artifact import schema
from runtime.artifact.steps import Step
from runtime.media.isolation.wire import Message, array_message, read_array, read_warnings
from runtime.media.video.sample import SampledFrames, VideoLimits, sample_frames


@dataclass(frozen=True, slots=True)
class ClipRequest:
    """The arguments of `sample_frames` other than the file."""

    count: int
    steps: tuple[Step, ...]
    limits: VideoLimits


# the fields of SampledFrames but the pixels, which travel as raw bytes
_Fields = dataclasses.make_dataclass(
    "_Fields", [item for item in get_type_hints(SampledFrames).items() if item[0] != "frames"]
)


def answer(arguments: Mapping[str, Any], data: bytes) -> Iterator[Message]:
    """Sample the frames of a clip and yield them as one part."""
    cv2.setNumThreads(1)  # other requests run at the same time, each in its own worker
    request = schema.parse(ClipRequest, arguments, "clip")
    sampled = sample_frames(data, count=request.count, steps=request.steps, limits=request.limits)
    fields = {f.name: getattr(sampled, f.name) for f in dataclasses.fields(sampled)}
    frames = fields.pop("frames")
    yield array_message(schema.to_json(fields), frames)


def read_sampled(message: Message) -> SampledFrames:
    """Return the frames that a part carries.

    Raises:
        WireError: the part carries no valid array, or invalid warnings.
        ArtifactError: a field is missing or of another type.
    """
    read_warnings(message)
    json_fields = {k: v for k, v in message.fields.items() if k not in ("dtype", "shape")}
    fields: Any = schema.parse(_Fields, json_fields, "the worker's answer")
    values = {field.name: getattr(fields, field.name) for field in dataclasses.fields(fields)}
    return SampledFrames(frames=read_array(message), **values)
