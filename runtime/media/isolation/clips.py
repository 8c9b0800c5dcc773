"""The job of `sample_frames`: how its arguments and its result travel between processes."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

import cv2

from runtime.artifact import schema as strict_json
from runtime.artifact.steps import Step
from runtime.media.isolation.wire import Message, array_of, with_array
from runtime.media.video.sample import SampledFrames, VideoLimits, sample_frames


@dataclass(frozen=True, slots=True)
class Clip:
    """What is asked beside the file."""

    count: int
    steps: tuple[Step, ...]
    limits: VideoLimits


# all that is in a SampledFrames beside its frames, whatever that may be
_FACTS = dataclasses.make_dataclass(
    "Facts", [item for item in get_type_hints(SampledFrames).items() if item[0] != "frames"]
)


def answer(arguments: Mapping[str, Any], data: bytes) -> Iterator[Message]:
    """One part."""
    cv2.setNumThreads(1)  # requests run side by side, each in a worker
    asked = strict_json.parse(Clip, arguments, "clip")
    taken = sample_frames(data, count=asked.count, steps=asked.steps, limits=asked.limits)
    facts = {f.name: getattr(taken, f.name) for f in dataclasses.fields(taken)}
    frames = facts.pop("frames")
    yield with_array(strict_json.to_json(facts), frames)


def sampled_of(message: Message) -> SampledFrames:
    """What was answered.

    Raises:
        WireError: the array is none.
        ArtifactError: a fact is missing or of another type.
    """
    told = {k: v for k, v in message.facts.items() if k not in ("dtype", "shape")}
    facts: Any = strict_json.parse(_FACTS, told, "the worker's answer")
    others = {field.name: getattr(facts, field.name) for field in dataclasses.fields(facts)}
    return SampledFrames(frames=array_of(message), **others)
